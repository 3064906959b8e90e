//! Templates on a running platform: by command and by REST, and what they make answers.

use serde_json::{Value, json};

use crate::world::{Ran, World, random, random_name, which};

/// Asks the REST API as the platform's first user; the token stays out of the list of processes.
fn rest(world: &World, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let token = std::fs::read_to_string(world.data.join("token")).unwrap();
    let config = world.home.join("curl");
    let text =
        format!("header = \"Authorization: Bearer {}\"\nheader = \"Content-Type: application/json\"\n", token.trim());
    std::fs::write(&config, text).unwrap();
    let (config, body) = (config.display().to_string(), body.to_string());
    let url = format!("http://localhost:{}{path}", world.portal_port());
    let mut arguments = vec!["-sS", "--max-time", "60", "-K", &config, "-X", method, "-w", "\n%{http_code}", &url];
    if method == "POST" {
        arguments.extend(["--data", &body]);
    }
    let Ran { out, err, .. } = world.run(&which("curl"), &arguments, &world.home);
    let (answer, code) = out.rsplit_once('\n').unwrap_or_else(|| panic!("{path}: {err}"));
    (code.parse().unwrap(), serde_json::from_str(answer).unwrap_or(Value::Null))
}

#[test]
fn templates_make_environments_and_services_that_answer() {
    let world = World::with(&["--no-sample"]);
    world.up();
    let (name, space, project) = (random_name(), format!("space-{}", random()), random());

    world.until("the platform's own templates are there", || {
        let (code, known) = rest(&world, "GET", "/api/v1/templates", &Value::Null);
        code == 200 && known.to_string().contains("environment") && known.to_string().contains("service")
    });
    let parameters = json!({"NAME": space, "PROJECT": project});
    let path = "/api/v1/templates/environment/deploy";
    let (code, refused) = rest(&world, "POST", path, &json!({"namespace": "default", "parameters": {"NAME": space}}));
    assert!(code == 422 && refused.to_string().contains("PROJECT"), "{code}: {refused}");
    let (code, made) = rest(&world, "POST", path, &json!({"namespace": "default", "parameters": parameters}));
    assert!((200..300).contains(&code), "{code}: {made}");
    let label = world.kubectl(&["get", "namespace", &space, "-o", "jsonpath={.metadata.labels.platform\\.io/project}"]);
    assert_eq!(label, project);

    let parameter = format!("NAME={name}");
    let tried = world.ok(&["template", "deploy", "service", "-p", &parameter, "-n", &space, "--dry-run"]);
    assert!(tried.contains("created"), "{tried}");
    assert_eq!(world.kubectl(&["get", "deploy", "-n", &space, "-o", "name"]), "");
    world.ok(&["template", "deploy", "service", "-p", &parameter, "-n", &space]);
    let host = format!("{name}.dev.localhost");
    world.until("the service answers", || world.gateway(&host, "/health/ready").0 == 200);
    let again = world.ok(&["template", "deploy", "service", "-p", &parameter, "-n", &space]);
    assert!(again.contains("unchanged") && !again.contains("created"), "{again}");
    let wrong = world.roadstead(&["template", "deploy", "service", "-p", &parameter, "-p", "NMAE=x", "-n", &space]);
    assert!(wrong.code == 1 && wrong.err.contains("NMAE"), "{}", wrong.err);
}
