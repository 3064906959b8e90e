//! The portal in a real browser, driven over the `WebDriver` protocol.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::world::{World, random_name, which};

/// A browser of the test's own.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    fn start(world: &World, width: u32, height: u32) -> Browser {
        let mut driver = Command::new(which("chromedriver"))
            .arg("--port=0")
            .env("HOME", &world.home)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| {
                line.unwrap()
                    .split("started successfully on port ")
                    .nth(1)
                    .map(|rest| rest.trim_end_matches('.').parse().unwrap())
            })
            .expect("chromedriver says its port");
        std::thread::spawn(move || lines.for_each(drop));
        let mut browser = Browser { driver, port, session: String::new() };
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            &format!("--window-size={width},{height}"),
            "--hide-scrollbars",
        ];
        let mut options = json!({"args": arguments});
        if width < 500 {
            // A window cannot be that narrow; a phone can.
            options["mobileEmulation"] = json!({"deviceMetrics": {"width": width, "height": height, "pixelRatio": 1}});
        }
        let wish = json!({"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": options}}});
        let answer = browser.ask("POST", "/session", &wish);
        browser.session = format!("/session/{}", answer["sessionId"].as_str().unwrap());
        browser
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let body = if method == "GET" || method == "DELETE" { String::new() } else { body.to_string() };
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = None;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = Some(value.trim().parse::<usize>().unwrap());
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut text = vec![0; length.expect("the driver says how long its answer is")];
        reader.read_exact(&mut text).unwrap();
        let answer: Value = serde_json::from_slice(&text).unwrap();
        assert!(answer["value"].get("error").is_none(), "{method} {path}: {answer}");
        answer["value"].clone()
    }

    fn open(&self, url: &str) {
        self.ask("POST", &format!("{}/url", self.session), &json!({"url": url}));
    }

    fn script(&self, script: &str) -> Value {
        self.ask("POST", &format!("{}/execute/sync", self.session), &json!({"script": script, "args": []}))
    }

    fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    fn save(&self, file: &std::path::Path) {
        let image = self.ask("GET", &format!("{}/screenshot", self.session), &Value::Null);
        std::fs::write(file, STANDARD.decode(image.as_str().unwrap()).unwrap()).unwrap();
    }

    /// Returns what the console says is wrong.
    fn complaints(&self) -> Vec<String> {
        let log = self.ask("POST", &format!("{}/se/log", self.session), &json!({"type": "browser"}));
        log.as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| entry["message"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.ask("DELETE", &self.session, &Value::Null);
        }
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}

#[test]
fn people_see_services_live_and_work_on_them() {
    let world = World::new();
    let started = world.up();
    let link = started.out.lines().find_map(|line| line.strip_prefix("Portal ")).unwrap().trim().to_owned();
    let shots = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/screenshots");
    std::fs::create_dir_all(&shots).unwrap();
    let browser = Browser::start(&world, 1440, 900);
    browser.open(&link);
    world.until("the list shows the sample", || browser.text().contains("shop"));
    browser.save(&shots.join("services-1440.png"));

    // Create in the form.
    let name = random_name();
    let base = format!("http://localhost:{}", world.portal_port());
    browser.open(&format!("{base}/services/new"));
    browser.save(&shots.join("new-1440.png"));
    browser.script(&format!("document.querySelector('input[name=name]').value = '{name}'; document.querySelector('main form').requestSubmit();"));
    world.until("the new service is healthy on its page", || {
        let text = browser.text();
        text.contains(&name) && text.contains("Healthy")
    });
    world.ok(&["wait", &name, "--synced", "--healthy"]);
    browser.open(&format!("{base}/services/development/{name}"));
    world.until("its pod is on the page", || browser.text().contains(&pod(&world, &name)));
    browser.save(&shots.join("service-1440.png"));
    browser.script("window.notReloaded = true");

    // Kill its pod: the page changes by itself.
    let old = pod(&world, &name);
    world.kubectl(&["delete", "pod", "-n", "microservices-dev", &old, "--wait=false"]);
    world.until("another pod is on the page", || {
        let text = browser.text();
        !text.contains(&old) && text.contains(&pod(&world, &name))
    });
    assert_eq!(browser.script("return window.notReloaded === true"), true, "without a reload");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert!(browser.script("return document.documentElement.outerHTML.length").as_u64().unwrap() < 100_000);

    // A link is valid once.
    browser.script("document.cookie.split(';').forEach(() => {})");
    let other = Browser::start(&world, 390, 844);
    other.open(&link);
    assert!(!other.text().contains(&name), "a used link opens nothing");
    assert!(other.complaints().iter().all(|complaint| complaint.contains("401")), "and that alone is complained of");
    let fresh = world.ok(&["login-link"]);
    other.open(fresh.trim());
    world.until("a fresh one does", || other.text().contains(&name));
    let overflow = other.script("return document.documentElement.scrollWidth > document.documentElement.clientWidth");
    assert_eq!(overflow, false, "nothing hangs out at phone width");
    other.save(&shots.join("services-390.png"));
    other.open(&format!("{base}/services/development/{name}"));
    world.until("the service's page opens on a phone", || other.text().contains(&name));
    assert_eq!(
        other.script("return document.documentElement.scrollWidth > document.documentElement.clientWidth"),
        false
    );
    other.save(&shots.join("service-390.png"));

    // Scale it, keep it, delete it.
    other.script("const form = document.querySelector('form[action$=\"/scale\"]'); form.querySelector('input[name=replicas]').value = 2; form.requestSubmit();");
    world.until("two pods are ready on the page", || other.text().contains("2 of 2 ready"));
    let asks = "return document.querySelector('#delete').matches(':popover-open')";
    other.script("document.querySelector('button[popovertarget=delete]').click()");
    assert_eq!(other.script(asks), true, "it asks first");
    other.save(&shots.join("delete-390.png"));
    other.script("document.querySelector('#delete button[type=button]').click()");
    assert_eq!(other.script(asks), false);
    assert!(world.ok(&["get"]).contains(&name), "who keeps it keeps it");
    other.script("document.querySelector('#delete button.danger').click()");
    world.until("it is gone", || !world.ok(&["get"]).contains(&name));
    other.open(&base);
    world.until("the list says so", || other.text().contains("shop") && !other.text().contains(&name));
    assert_eq!(other.complaints(), Vec::<String>::new());
}

fn pod(world: &World, name: &str) -> String {
    let service = world.service(name);
    let pods = service["pods"].as_array().cloned().unwrap_or_default();
    pods.iter()
        .filter(|pod| pod["ready"] == true)
        .filter_map(|pod| pod["name"].as_str())
        .next_back()
        .unwrap_or("no pod is ready")
        .to_owned()
}
