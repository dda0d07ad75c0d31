//! A real headless Chromium, driven by chromedriver through the W3C `WebDriver` protocol.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{eventually, install_crypto_provider};

const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One browser with a profile of its own; it ends when it is closed or dropped.
pub(crate) struct Browser {
    driver: Child,
    client: reqwest::Client,
    session: String,
    /// Of the browser itself, which outlives a driver that was killed.
    process: Option<u64>,
    _profile: TempDir,
}

/// A test that fails leaves no browser behind; it would also hold the output of the test run open.
impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            let kill = std::process::Command::new("kill")
                .arg(process.to_string())
                .status();
            drop(kill);
        }
    }
}

/// An element of the page that is shown.
#[derive(Clone, Debug)]
pub(crate) struct Element(String);

impl Browser {
    pub(crate) async fn start() -> Self {
        install_crypto_provider();
        let port = free_port();
        let driver = std::env::var("REDRIVE_TEST_CHROMEDRIVER")
            .unwrap_or_else(|_| "/usr/bin/chromedriver".to_owned());
        let child = Command::new(&driver)
            .arg(format!("--port={port}"))
            .arg("--silent")
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot start {driver}: {error}; install chromium-driver")
            });
        let client = reqwest::Client::builder()
            .timeout(Duration::from_mins(1))
            .build()
            .unwrap();
        let root = format!("http://127.0.0.1:{port}");
        let status = format!("{root}/status");
        eventually("chromedriver answers", || async {
            client
                .get(&status)
                .send()
                .await
                .ok()
                .filter(|r| r.status().is_success())
        })
        .await;
        let profile = tempfile::tempdir().unwrap();
        let answer = post(
            &client,
            &format!("{root}/session"),
            &capabilities(profile.path()),
        )
        .await;
        let id = answer["sessionId"].as_str().expect("a session").to_owned();
        Self {
            driver: child,
            client,
            session: format!("{root}/session/{id}"),
            process: answer["capabilities"]["goog:processID"].as_u64(),
            _profile: profile,
        }
    }

    pub(crate) async fn close(mut self) {
        let _ = self.client.delete(&self.session).send().await;
        // It has ended by itself, and its number may already be another process's.
        self.process = None;
        let _ = self.driver.kill().await;
    }

    async fn command(&self, path: &str, body: Value) -> Value {
        post(&self.client, &format!("{}/{path}", self.session), &body).await
    }

    pub(crate) async fn goto(&self, url: &str) {
        self.command("url", json!({ "url": url })).await;
    }

    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let command = json!({
            "cmd": "Emulation.setDeviceMetricsOverride",
            "params": { "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700 }
        });
        self.command("goog/cdp/execute", command).await;
    }

    /// Lets the page believe that the system is light or dark.
    pub(crate) async fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let command =
            json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": features } });
        self.command("goog/cdp/execute", command).await;
    }

    pub(crate) async fn execute(&self, script: &str) -> Value {
        self.command("execute/sync", json!({ "script": script, "args": [] }))
            .await
    }

    /// Waits until a script says true; a page may be on its way.
    pub(crate) async fn until(&self, what: &str, script: &str) {
        eventually(what, || async {
            (self.execute(script).await == true).then_some(())
        })
        .await;
    }

    pub(crate) async fn find(&self, selector: &str) -> Element {
        let query = json!({ "using": "css selector", "value": selector });
        let found = self.command("element", query).await;
        Element(
            found[ELEMENT]
                .as_str()
                .unwrap_or_else(|| panic!("no {selector}: {found}"))
                .to_owned(),
        )
    }

    pub(crate) async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.command(&format!("element/{}/click", element.0), json!({}))
            .await;
    }

    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        let path = format!("element/{}/value", element.0);
        self.command(&path, json!({ "text": text })).await;
    }

    /// Presses keys on whatever has the focus.
    pub(crate) async fn press(&self, keys: &str) {
        let actions: Vec<_> = keys
            .chars()
            .flat_map(|key| {
                [
                    json!({ "type": "keyDown", "value": key }),
                    json!({ "type": "keyUp", "value": key }),
                ]
            })
            .collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.command("actions", body).await;
    }

    /// What the browser logged since the last call: errors of scripts, refused resources.
    pub(crate) async fn console(&self) -> Vec<String> {
        let entries = self.command("se/log", json!({ "type": "browser" })).await;
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|entry| entry["message"].as_str().unwrap_or("").to_owned())
            .collect()
    }

    /// The whole page as a PNG.
    pub(crate) async fn screenshot(&self, file: &Path) {
        let command = json!({
            "cmd": "Page.captureScreenshot",
            "params": { "format": "png", "captureBeyondViewport": true }
        });
        let shot = self.command("goog/cdp/execute", command).await;
        let png = STANDARD
            .decode(shot["data"].as_str().expect("an image"))
            .unwrap();
        std::fs::write(file, png).unwrap();
    }
}

fn capabilities(profile: &Path) -> Value {
    let profile = format!("--user-data-dir={}", profile.display());
    let arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        &profile,
    ];
    json!({ "capabilities": { "alwaysMatch": {
        "browserName": "chrome",
        "goog:chromeOptions": { "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
    } } })
}

async fn post(client: &reqwest::Client, url: &str, body: &Value) -> Value {
    let response = client.post(url).json(body).send().await.unwrap();
    let status = response.status();
    let mut answer: Value = response.json().await.unwrap();
    assert!(status.is_success(), "{url}: {answer}");
    answer["value"].take()
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
