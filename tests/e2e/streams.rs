//! Commands, attached containers, forwarded ports and proxies, as stock clients use them.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::world::{Ran, World, ran, random, which};

/// What a shell script in a container may need.
const PROGRAMS: &[&str] = &["sh", "cat", "tar", "sha256sum", "sleep", "tty", "stty", "ls", "mkdir", "head"];
/// Both ways in which kubectl speaks: WebSockets, and SPDY as older ones do.
const WAYS: [&str; 2] = ["", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false KUBECTL_PORT_FORWARD_WEBSOCKETS=false "];

/// A process that is ended with the value, by its id.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A platform with a pod of two containers: one with a shell, one that gives back what it is sent.
struct Streams {
    world: World,
    pod: String,
    /// Where the second container listens, in the pod.
    port: u16,
}

impl Streams {
    fn new() -> Streams {
        let world = World::with(&["--no-sample"]);
        world.up();
        let pod = format!("pod-{}", random());
        let port = 20_000 + u16::from_str_radix(&random()[..3], 16).unwrap();
        push_shell(&world, &format!("shell-{pod}"));
        let tool = compile_tool(&world);
        world.ok(&["image", "pack", tool.to_str().unwrap(), "--tag", &format!("tool-{pod}:1")]);
        let streams = Streams { world, pod, port };
        let manifest = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {pod}, namespace: default, labels: {{app: {pod}}}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - {{name: shell, image: 'registry.cluster.local/shell-{pod}:1', command: [sleep, '100000']}}\n  - {{name: tool, image: 'registry.cluster.local/tool-{pod}:1', args: [echoes, '{port}']}}\n  - {{name: web, image: 'registry.cluster.local/tool-{pod}:1', args: [serve, '80'], ports: [{{containerPort: 80, name: http}}]}}\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: {pod}, namespace: default}}\nspec: {{selector: {{app: {pod}}}, ports: [{{name: web, port: 8080, targetPort: http}}]}}\n",
            pod = streams.pod,
        );
        std::fs::write(streams.world.home.join("pod.yaml"), manifest).unwrap();
        streams.world.kubectl(&["apply", "-f", "pod.yaml"]);
        streams.world.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", &format!("pod/{}", streams.pod)]);
        streams
    }

    /// Runs a script in which `$pod` and `$port` are known.
    fn shell(&self, script: &str) -> Ran {
        let script = format!("pod={}; port={}\n{script}", self.pod, self.port);
        self.world.shell(&script, &self.world.home)
    }

    fn ok(&self, script: &str) -> String {
        let ran = self.shell(script);
        assert_eq!(ran.code, 0, "{script}: {}{}\n{}", ran.out, ran.err, self.world.log());
        ran.out
    }

    /// Starts a script, with its output in a file.
    fn start(&self, script: &str, output: &str) -> Running {
        let file = std::fs::File::create(self.world.home.join(output)).unwrap();
        let script = format!("pod={}; port={}\nexec {script}", self.pod, self.port);
        let mut command = self.world.command(Path::new("/bin/sh"), &["-c", &script], &self.world.home);
        command.env("PATH", World::path()).stdin(Stdio::piped()).stdout(file.try_clone().unwrap()).stderr(file);
        Running(command.spawn().unwrap())
    }

    fn output(&self, name: &str) -> String {
        std::fs::read_to_string(self.world.home.join(name)).unwrap_or_default()
    }

    /// Returns how many processes of this machine have `mark` among their words, containers' too.
    fn running(mark: &str) -> usize {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count()
    }
}

/// Compiles the program that the node's own tests run in containers.
fn compile_tool(world: &World) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/cluster/node/tests/support/tool.c");
    let program = world.home.join("tool");
    let salt = format!("-Dsalt{}", random());
    let output = Command::new(which("cc")).arg(salt).arg("-o").arg(&program).arg(source).output().unwrap();
    assert!(output.status.success(), "{}", ran(&output).err);
    program
}

/// Makes an image of this machine's own programs, and pushes it as anybody would.
fn push_shell(world: &World, name: &str) {
    let token = std::fs::read_to_string(world.data.join("token")).unwrap();
    let script = format!(
        r#"mkdir -p root/bin root/tmp certificates
        for program in {programs}; do
            file=$(command -v $program); cp -L "$file" root/bin/$program
            ldd "$file" | grep -o '/[^ ]*' | while read library; do
                mkdir -p root$(dirname $library); cp -Ln $library root$library || test -e root$library
            done
        done
        tar -C root -cf layer.tar .
        sum=$(sha256sum layer.tar | cut -d' ' -f1)
        printf '{{"architecture":"amd64","os":"linux","config":{{"Env":["PATH=/bin"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:%s"]}}}}' $sum > config.json
        printf '[{{"Config":"config.json","RepoTags":["{name}:1"],"Layers":["layer.tar"]}}]' > manifest.json
        tar -cf image.tar manifest.json config.json layer.tar
        cp {data}/pki/gateway-ca.crt certificates/ca.crt
        skopeo --insecure-policy copy --quiet --dest-cert-dir certificates --dest-creds admin:{token} \
            docker-archive:image.tar docker://localhost:{port}/{name}:1"#,
        programs = PROGRAMS.join(" "),
        data = world.data.display(),
        token = token.trim(),
        port = world.https_port(),
    );
    let pushed = world.shell(&script, &world.home);
    assert_eq!(pushed.code, 0, "{}{}", pushed.out, pushed.err);
}

fn until(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !check() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn stock_kubectl_runs_commands_copies_files_and_attaches() {
    let streams = Streams::new();
    for way in WAYS {
        let exec = format!("{way}kubectl exec");
        let ended = streams.shell(&format!("{exec} $pod -c shell -- sh -c 'echo out; echo err >&2; exit 42'"));
        assert_eq!((ended.code, ended.out.as_str()), (42, "out\n"), "{}", ended.err);
        assert!(ended.err.contains("err\n") && ended.err.contains("exit code 42"), "{}", ended.err);
        streams.ok(&format!(
            "head -c 6000000 /dev/urandom > sent; {exec} -i $pod -c shell -- cat < sent > back; cmp sent back
             test \"$({exec} -i $pod -c shell -- sha256sum < sent | cut -c-64)\" = \"$(sha256sum < sent | cut -c-64)\""
        ));
        // A terminal: it has a name in the container, the client's size, and both see what is typed.
        let typed = format!("stty rows 31 cols 97; {way}kubectl exec -it $pod -c shell -- sh -c 'tty; stty size'");
        let terminal = streams.ok(&format!("script -qec \"{}\" /dev/null", typed.replace("$pod", &streams.pod)));
        assert!(terminal.contains("/dev/pts/") && terminal.contains("31 97"), "{terminal}");
        let none = streams.shell(&format!("{exec} $pod -c shell -- /no/such/program"));
        assert!(none.code != 0 && none.err.contains("/no/such/program"), "{} {}", none.code, none.err);
    }
    streams.ok("head -c 3000000 /dev/urandom > file; kubectl cp file $pod:/tmp/file -c shell
         kubectl cp $pod:/tmp/file again -c shell; cmp file again
         mkdir -p folder/inner; echo x > folder/inner/x; kubectl cp folder $pod:/tmp/folder -c shell
         test \"$(kubectl exec $pod -c shell -- cat /tmp/folder/inner/x)\" = x");
    for (script, why) in [
        ("kubectl exec $pod -c absent -- true", "container absent is not valid for pod"),
        ("kubectl exec absent -- true", "pods \"absent\" not found"),
        ("kubectl exec $pod -c shell --as=eve -- true", "cannot"),
        ("kubectl attach $pod -c absent", "container absent is not valid for pod"),
    ] {
        let refused = streams.shell(script);
        assert!(refused.code != 0 && refused.err.contains(why), "{script}: {}", refused.err);
    }
    // Whoever may only read has begun no command by it: a WebSocket begins with GET.
    streams.ok("kubectl create role reads --verb=get --resource=pods,pods/exec,pods/portforward
         kubectl create rolebinding reads --role=reads --user=reader");
    for script in ["exec $pod -c shell --as=reader -- true", "port-forward --as=reader pod/$pod 0:80"] {
        let refused = streams.shell(&format!("kubectl {script}"));
        assert!(refused.code != 0 && refused.err.to_lowercase().contains("forbidden"), "{script}: {}", refused.err);
    }

    let image = format!("registry.cluster.local/shell-{}:1", streams.pod);
    let said = streams.ok(&format!(
        "printf 'one\\ntwo\\n' | kubectl run run-$pod -i --quiet --rm --restart=Never --pod-running-timeout=60s --image={image} -- cat"
    ));
    assert!(said.contains("one\ntwo\n"), "{said}");
    let code = streams.shell(&format!(
        "kubectl run end-$pod --attach --quiet --rm --restart=Never --image={image} -- sh -c 'sleep 1; echo said; exit 5'"
    ));
    assert!(code.code == 5 && code.out.contains("said"), "{} {} {}", code.code, code.out, code.err);

    // A client that is killed leaves no process behind.
    for (index, flags) in ["", "-i"].iter().enumerate() {
        let mark = format!("{}{index}", u32::from(streams.port) + 100_000);
        let client = streams.start(&format!("kubectl exec {flags} $pod -c shell -- sleep {mark}"), "client");
        until("the command runs", || Streams::running(&mark) >= 2);
        drop(client);
        until("nothing is left of it", || Streams::running(&mark) == 0);
    }
}

#[test]
fn stock_kubectl_forwards_ports_and_proxies() {
    let streams = Streams::new();
    for (index, way) in WAYS.iter().enumerate() {
        let output = format!("forward-{index}");
        let script = format!("env {way}kubectl port-forward pod/$pod :$port :9");
        let client = streams.start(&script, &output);
        let local = |inner: u16| {
            let said = streams.output(&output);
            let line = said
                .lines()
                .find(|line| line.starts_with("Forwarding from 127") && line.ends_with(&format!("-> {inner}")))?;
            line.split(':').nth(1)?.split(' ').next()?.parse::<u16>().ok()
        };
        until("ports are forwarded", || local(streams.port).is_some() && local(9).is_some());
        let port = local(streams.port).unwrap();
        // Several at a time, megabytes each.
        let talks: Vec<_> = (0..4).map(|_| std::thread::spawn(move || echoed(port))).collect();
        for talk in talks {
            talk.join().unwrap();
        }
        let mut closed = TcpStream::connect(("127.0.0.1", local(9).unwrap())).unwrap();
        assert_eq!(closed.read_to_end(&mut Vec::new()).unwrap_or_default(), 0);
        until("a closed port is told", || streams.output(&output).contains("refused"));
        drop(client);
    }
    let output = "forward-service";
    let _client = streams.start("kubectl port-forward service/$pod :8080", output);
    until("a service is forwarded", || streams.output(output).contains("Forwarding from 127"));
    let port = streams.output(output).split(':').nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(streams.ok(&format!("curl -sS --max-time 10 http://127.0.0.1:{port}/")), "ok\n");

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _proxy = streams.start(&format!("kubectl proxy --port {free}"), "proxy");
    until("the proxy listens", || TcpStream::connect(("127.0.0.1", free)).is_ok());
    let base = format!("http://127.0.0.1:{free}/api/v1/namespaces/default");
    let curl = |path: &str| streams.ok(&format!("curl -sS --max-time 20 {base}/{path}"));
    for path in
        ["services/$pod:web/proxy/", "services/http:$pod:8080/proxy/x?y=1", "pods/$pod/proxy/", "pods/$pod:80/proxy/"]
    {
        assert_eq!(curl(path), "ok\n", "{path}");
    }
    let moved = streams.ok(&format!("curl -sSI {base}/pods/$pod:80/proxy"));
    assert!(moved.contains("301") && moved.contains("/proxy/"), "{moved}");
    for (path, why) in [
        ("services/$pod:81/proxy/", "no service port 81 found for service"),
        ("services/absent/proxy/", "services \\\"absent\\\" not found"),
        ("pods/$pod:9/proxy/", "connection refused"),
    ] {
        assert!(curl(path).contains(why), "{path}: {}", curl(path));
    }
    let node = streams.ok("kubectl get nodes -o jsonpath='{.items[0].metadata.name}'");
    assert!(streams.ok(&format!("kubectl get --raw /api/v1/nodes/{node}/proxy/pods")).contains(&streams.pod));

    until("the pod is measured", || streams.shell("kubectl top pod $pod --containers").out.lines().count() == 4);
    let top = streams.ok("kubectl top pods --sort-by=cpu");
    assert!(top.contains(&streams.pod) && top.contains("Mi"), "{top}");
    let top = streams.ok("kubectl top nodes");
    assert!(top.contains(&node) && top.contains('%'), "{top}");
}

/// Sends random bytes to a server that gives them back, and compares.
fn echoed(port: u16) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let sent: Vec<u8> = std::iter::repeat_with(|| *uuid::Uuid::new_v4().as_bytes()).flatten().take(2 << 20).collect();
    let (mut writer, bytes) = (stream.try_clone().unwrap(), sent.clone());
    let writing = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
    let mut back = vec![0; sent.len()];
    stream.read_exact(&mut back).unwrap();
    writing.join().unwrap();
    assert!(back == sent, "the bytes are the same");
}

#[test]
fn the_python_client_runs_commands_and_forwards_ports() {
    let streams = Streams::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/e2e/streams.py");
    let said = streams.ok(&format!("python/bin/python {script} $pod $port").replacen(
        "python/bin/python",
        which("python/bin/python").to_str().unwrap(),
        1,
    ));
    assert!(said.ends_with("all is well\n"), "{said}");
}
