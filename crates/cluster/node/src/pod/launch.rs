//! Getting a container ready to start: fetching what it refers to, its image, its
//! volumes, its `config.json`. What these hold is decided in `env`, `volumes` and `oci`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{ConfigMap, Container, Pod, PodSpec, Secret, ServiceAccount},
};
use kube::{Api, api::PostParams};

use super::{
    env::{self, Sources},
    oci::{self, Bind, ImageFacts, Parts, User},
    volumes,
};
use crate::{
    Error,
    context::Context,
    proc,
    shim::protocol::{Launch, Sandbox, Start, Stdin},
};

/// Tokens by audience and lifetime, with when each was given.
pub(crate) type Tokens = BTreeMap<(String, i64), (String, jiff::Timestamp)>;

/// Fetches every config map, secret and token that `pod` refers to.
pub(crate) async fn fetch(context: &Context, pod: &Pod, tokens: &mut Tokens) -> Result<Sources, Error> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let references = volumes::references(pod);
    let mut sources = Sources::default();
    let config_maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
    for name in references.config_maps {
        let found =
            config_maps.get_opt(&name).await.map_err(Error::api(format!("get configmap {namespace}/{name}")))?;
        sources.config_maps.insert(name, found);
    }
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    for name in references.secrets {
        let found = secrets.get_opt(&name).await.map_err(Error::api(format!("get secret {namespace}/{name}")))?;
        sources.secrets.insert(name, found);
    }
    for key in references.tokens {
        let now = base::clock::now();
        // A token is renewed when four fifths of its life have passed.
        let fresh = tokens.get(&key).filter(|(_, given)| now.duration_since(*given).as_secs() < key.1 * 4 / 5);
        let token = match fresh {
            Some((token, _)) => token.clone(),
            None => {
                let token = request_token(context, pod, namespace, &key).await?;
                tokens.insert(key.clone(), (token.clone(), now));
                token
            }
        };
        sources.tokens.insert(key, token);
    }
    Ok(sources)
}

async fn request_token(context: &Context, pod: &Pod, namespace: &str, key: &(String, i64)) -> Result<String, Error> {
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
    let api: Api<ServiceAccount> = Api::namespaced(context.client.clone(), namespace);
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
    };
    let request = |bound| TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: (!key.0.is_empty()).then(|| vec![key.0.clone()]),
            expiration_seconds: Some(key.1),
            bound_object_ref: bound,
        }),
        ..TokenRequest::default()
    };
    let post = PostParams::default();
    let answer = match api.create_token_request(account, &post, &request(Some(bound))).await {
        // A token that ends with its pod is asked for first; the embedded API server gives only such that end by time.
        Err(kube::Error::Api(status)) if status.code == 400 && status.message.contains("boundObjectRef") => {
            api.create_token_request(account, &post, &request(None)).await
        }
        answer => answer,
    };
    let answer = answer.map_err(Error::api(format!("request a token of service account {namespace}/{account}")))?;
    Ok(answer.status.and_then(|status| status.token).unwrap_or_default())
}

/// Returns the container's image, unpacked.
pub(crate) async fn image(context: &Context, container: &Container) -> Result<ImageFacts, Error> {
    let name = container.image.clone().unwrap_or_default();
    let (store, cache, text) = (context.images.clone(), context.dir.join("roots"), name.clone());
    let _guard = context.unpacking.lock().await;
    let work = tokio::task::spawn_blocking(move || {
        let image = store.image(&images::Reference::parse(&text)?)?;
        let root = images::unpack::unpack(&store, &image, &cache, images::unpack::Limits::default())?;
        Ok((image, root))
    });
    let (image, root) = match work.await {
        Ok(result) => result.map_err(|source| Error::Image { image: name, source })?,
        Err(_) => {
            return Err(Error::Config { field: format!("image {name:?}"), why: "unpacking was cut off".to_owned() });
        }
    };
    let config = image.config.config().clone().unwrap_or_default();
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    Ok(ImageFacts {
        digest: image.digest.to_string(),
        entrypoint: config.entrypoint().clone().unwrap_or_default(),
        cmd: config.cmd().clone().unwrap_or_default(),
        env: config.env().clone().unwrap_or_default(),
        working_dir: config.working_dir().clone().unwrap_or_default(),
        user: config.user().clone().unwrap_or_default(),
        passwd: read("etc/passwd"),
        group: read("etc/group"),
        root,
    })
}

/// Writes the pod's volumes; those from the API are brought up to date.
pub(crate) fn write_volumes(context: &Context, pod: &Pod, sandbox: &Sandbox, sources: &Sources) -> Result<(), Error> {
    let Some(spec) = &pod.spec else { return Ok(()) };
    let group = fs_group(context, spec);
    for volume in spec.volumes.iter().flatten() {
        let dir = context.pod_dir(&sandbox.uid).join("volumes").join(&volume.name);
        match volumes::files(volume, pod, sources, &context.place(sandbox.address))? {
            Some(files) => drop(volumes::write(&dir, &files, group)?),
            None => volumes::make_empty(&dir, group)?,
        }
    }
    Ok(())
}

fn fs_group(context: &Context, spec: &PodSpec) -> Option<u32> {
    // A plain process keeps the platform's groups.
    let group = spec.security_context.as_ref().and_then(|s| s.fs_group).filter(|_| context.isolated)?;
    u32::try_from(group).ok()
}

/// Returns the memory volumes of a pod: folder and size.
pub(crate) fn memory_volumes(context: &Context, uid: &str, spec: &PodSpec) -> Vec<(PathBuf, u64)> {
    let in_memory = spec.volumes.iter().flatten().filter_map(|volume| {
        let dir = volume.empty_dir.as_ref().filter(|dir| dir.medium.as_deref() == Some("Memory"))?;
        let size = dir.size_limit.as_ref().and_then(|size| super::quantity::whole(&size.0)).unwrap_or(0);
        Some((context.pod_dir(uid).join("volumes").join(&volume.name), size.max(0) as u64))
    });
    in_memory.collect()
}

/// Everything about one start of a container.
pub(crate) struct Job<'a> {
    pub(crate) context: &'a Context,
    pub(crate) pod: &'a Pod,
    pub(crate) spec: &'a PodSpec,
    pub(crate) container: &'a Container,
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) sources: &'a Sources,
    pub(crate) image: &'a ImageFacts,
    pub(crate) attempt: u32,
}

/// Writes the container's folder and returns what the shim is asked.
pub(crate) fn prepare(job: &Job<'_>) -> Result<Start, Error> {
    let Job { context, pod, spec, container, sandbox, image, .. } = job;
    let dir = context.pod_dir(&sandbox.uid);
    let bundle = dir.join("c").join(&container.name).join(job.attempt.to_string());
    proc::remove_dir(&bundle)?;
    fs::create_dir_all(&bundle).map_err(Error::disk("create", &bundle))?;
    let mut env = env::build(pod, container, &image.env, job.sources, &context.place(sandbox.address))?;
    let command = oci::command(container, image, &env)?;
    let user = oci::user(spec, container, image)?;
    let mut binds = volume_binds(&dir, spec, container)?;
    let working_dir = container.working_dir.clone().filter(|dir| !dir.is_empty()).unwrap_or(image.working_dir.clone());
    let launch = if context.isolated {
        binds.extend(system_binds(&dir, &bundle, spec, container, sandbox, &user)?);
        let cgroup = format!("{}/{}-{}", context.pod_cgroup(&sandbox.uid), container.name, job.attempt);
        let config = oci::runtime_spec(&Parts {
            container,
            command: &command,
            env: &env,
            working_dir: &working_dir,
            user: &user,
            binds: &binds,
            cgroup: &cgroup,
            available: context.capabilities,
        });
        proc::write_state(&bundle.join("config.json"), &config)?;
        Launch::Container { lower: image.root.clone(), cgroup }
    } else {
        let replace = |text: &String| oci::substitute(text, &binds);
        let command: Vec<String> = command.iter().map(replace).collect();
        env = env.iter().map(|(name, value)| (name.clone(), replace(value))).collect();
        env.insert("LISTEN_ADDR".to_owned(), sandbox.address.to_string());
        env.insert("ROADSTEAD_POD_DIR".to_owned(), dir.to_string_lossy().into_owned());
        let scratch = bundle.join("tmp");
        fs::create_dir_all(&scratch).map_err(Error::disk("create", &scratch))?;
        env.entry("TMPDIR".to_owned()).or_insert_with(|| scratch.to_string_lossy().into_owned());
        let wanted = image.root.join(working_dir.trim_start_matches('/'));
        let dir = if working_dir.trim_matches('/').is_empty() || !wanted.is_dir() { scratch } else { wanted };
        Launch::Process { command: process_command(&image.root, &command, &env)?, env, dir }
    };
    Ok(Start {
        name: container.name.clone(),
        attempt: job.attempt,
        log: log_path(&dir, &container.name, job.attempt),
        bundle,
        launch,
        stdin: match (container.stdin, container.stdin_once) {
            (Some(true), Some(true)) => Stdin::Once,
            (Some(true), _) => Stdin::Open,
            _ => Stdin::None,
        },
        tty: container.tty == Some(true),
    })
}

/// Returns where an attempt's log lies.
pub(crate) fn log_path(pod_dir: &Path, container: &str, attempt: u32) -> PathBuf {
    pod_dir.join("logs").join(container).join(format!("{attempt}.log"))
}

fn volume_binds(dir: &Path, spec: &PodSpec, container: &Container) -> Result<Vec<Bind>, Error> {
    let mut binds = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let invalid = |why: &str| Error::Config {
            field: format!("volumeMounts[{}] of container {}", mount.name, container.name),
            why: why.to_owned(),
        };
        let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name);
        let volume = volume.ok_or_else(|| invalid("the pod has no volume of this name"))?;
        let root = dir.join("volumes").join(&mount.name);
        let source = match mount.sub_path.as_deref().filter(|path| !path.is_empty()) {
            None => root,
            Some(_) if volume.empty_dir.as_ref().is_some_and(|dir| dir.medium.as_deref() == Some("Memory")) => {
                return Err(invalid("subPath of a volume in memory is not supported"));
            }
            Some(sub) => {
                if Path::new(sub).components().any(|c| !matches!(c, std::path::Component::Normal(_))) {
                    return Err(invalid("subPath leaves the volume"));
                }
                let path = root.join(sub);
                if !path.exists() {
                    volumes::make_empty(&path, None)?;
                }
                // The volume's content is the containers' and may hold links to anywhere.
                let path = fs::canonicalize(&path).map_err(Error::disk("find", &path))?;
                let root = fs::canonicalize(&root).map_err(Error::disk("find", &root))?;
                if !path.starts_with(&root) {
                    return Err(invalid("subPath leaves the volume through a link"));
                }
                path
            }
        };
        let read_only = mount.read_only == Some(true) || volume.empty_dir.is_none();
        binds.push(Bind { source, target: mount.mount_path.clone(), read_only });
    }
    Ok(binds)
}

/// Returns the files that every container gets: hosts, host name, resolver, termination message.
fn system_binds(
    dir: &Path,
    bundle: &Path,
    spec: &PodSpec,
    container: &Container,
    sandbox: &Sandbox,
    user: &User,
) -> Result<Vec<Bind>, Error> {
    let etc = dir.join("etc");
    fs::create_dir_all(&etc).map_err(Error::disk("create", &etc))?;
    let mut hosts =
        format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n{}\t{}\n", sandbox.address, sandbox.hostname);
    for alias in spec.host_aliases.iter().flatten() {
        hosts.extend([&alias.ip, "\t", &alias.hostnames.clone().unwrap_or_default().join(" "), "\n"]);
    }
    let resolver = resolver(spec, &fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    let mut binds = Vec::new();
    let taken: BTreeSet<&str> =
        container.volume_mounts.iter().flatten().map(|mount| mount.mount_path.as_str()).collect();
    for (name, text) in [("hosts", hosts), ("hostname", format!("{}\n", sandbox.hostname)), ("resolv.conf", resolver)] {
        let path = etc.join(name);
        if !path.exists() {
            fs::write(&path, text).map_err(Error::disk("write", &path))?;
        }
        let target = format!("/etc/{name}");
        if !taken.contains(target.as_str()) {
            binds.push(Bind { source: path, target, read_only: false });
        }
    }
    let message = bundle.join("termination-log");
    fs::write(&message, "").map_err(Error::disk("write", &message))?;
    fs::set_permissions(&message, fs::Permissions::from_mode(0o666)).map_err(Error::disk("open up", &message))?;
    chown(&message, Some(user.uid), Some(user.gid)).map_err(Error::disk("give to the container's user", &message))?;
    let target = container.termination_message_path.clone().unwrap_or_else(|| "/dev/termination-log".to_owned());
    binds.push(Bind { source: message, target, read_only: false });
    Ok(binds)
}

/// Returns the pod's `resolv.conf`: the host's, unless the pod says `dnsPolicy: None`, and what `dnsConfig` adds.
fn resolver(spec: &PodSpec, host: &str) -> String {
    let mut text = if spec.dns_policy.as_deref() == Some("None") { String::new() } else { host.to_owned() };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    if let Some(config) = &spec.dns_config {
        for server in config.nameservers.iter().flatten() {
            text.extend(["nameserver ", server, "\n"]);
        }
        if let Some(searches) = config.searches.as_ref().filter(|searches| !searches.is_empty()) {
            text.extend(["search ", &searches.join(" "), "\n"]);
        }
        for option in config.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            let value = option.value.as_ref().map_or_else(String::new, |value| format!(":{value}"));
            text.extend(["options ", &name, &value, "\n"]);
        }
    }
    text
}

/// Returns the command line that runs an image's program without a root of its own:
/// through the image's own dynamic linker, with the image's own libraries.
fn process_command(root: &Path, words: &[String], env: &BTreeMap<String, String>) -> Result<Vec<String>, Error> {
    let program = words.first().cloned().unwrap_or_default();
    let invalid = |why: String| Error::Config { field: "command".to_owned(), why };
    let paths = env.get("PATH").cloned().unwrap_or_else(|| "/usr/bin:/bin".to_owned());
    let candidates: Vec<String> = if program.contains('/') {
        vec![program.clone()]
    } else {
        paths.split(':').map(|dir| format!("{dir}/{program}")).collect()
    };
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    let found = candidates.iter().map(|path| inside(path)).find(|path| path.is_file());
    let found = found.ok_or_else(|| invalid(format!("{program:?} is not in the image")))?;
    let linker = images::pack::interpreter(&found).map_err(|error| invalid(error.to_string()))?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut command = Vec::new();
    if let Some(linker) = linker {
        let linker = inside(&linker);
        if !linker.is_file() {
            return Err(invalid(format!("the dynamic linker of {program:?} is not in the image")));
        }
        let arch = std::env::consts::ARCH;
        let dirs = [format!("lib/{arch}-linux-gnu"), format!("usr/lib/{arch}-linux-gnu")];
        let dirs = dirs.iter().map(String::as_str).chain(["lib64", "usr/lib64", "lib", "usr/lib"]);
        let dirs: Vec<String> =
            dirs.map(|dir| root.join(dir)).filter(|dir| dir.is_dir()).map(|dir| text(&dir)).collect();
        command.extend([text(&linker), "--library-path".to_owned(), dirs.join(":")]);
    }
    command.push(text(&found));
    command.extend(words.iter().skip(1).cloned());
    Ok(command)
}
