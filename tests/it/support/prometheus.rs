//! The real Prometheus and promtool.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use super::{eventually, install_crypto_provider};

/// The folder with `Cargo.toml`.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs promtool with what a test gives to its standard input.
pub(crate) fn promtool(arguments: &[&str], input: &str) -> Output {
    use std::io::Write as _;
    let binary = program("REDRIVE_TEST_PROMTOOL", "/usr/bin/promtool");
    let mut child = Command::new(&binary)
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", binary.display()));
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("promtool reads");
    drop(stdin);
    child.wait_with_output().expect("promtool ends")
}

fn program(variable: &str, default: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| default.into(), PathBuf::from)
}

/// A Prometheus of its own that scrapes one target every second and has the shipped rules loaded;
/// stopped when it is dropped.
pub(crate) struct Prometheus {
    process: Child,
    url: Url,
    client: reqwest::Client,
    _storage: TempDir,
}

impl Prometheus {
    /// `target` is `host:port` of what serves `/metrics`.
    pub(crate) async fn scraping(target: &str) -> Self {
        install_crypto_provider();
        let storage = TempDir::new().expect("a temporary folder");
        let configuration = storage.path().join("prometheus.yml");
        let rules = root().join("alerts/*.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n- job_name: redrive\n  static_configs: [{{targets: ['{target}']}}]\n",
            rules.display()
        );
        std::fs::write(&configuration, text).expect("a temporary file");
        let port = free_port();
        let process = Command::new(program("REDRIVE_TEST_PROMETHEUS", "/usr/bin/prometheus"))
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                storage.path().join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error")
            .stdin(Stdio::null())
            .spawn()
            .expect(
                "Prometheus is installed (package prometheus), or REDRIVE_TEST_PROMETHEUS names it",
            );
        let url = format!("http://127.0.0.1:{port}").parse();
        let prometheus = Self {
            process,
            url: url.expect("a loopback URL"),
            client: reqwest::Client::new(),
            _storage: storage,
        };
        eventually("Prometheus scrapes its target twice", || async {
            let scrapes = "count_over_time(redrive_build_info[5m]) >= 2";
            prometheus
                .query(scrapes)
                .await
                .ok()
                .filter(|found| !found.is_empty())
        })
        .await;
        prometheus
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The result of an expression; an error says why Prometheus refused it.
    pub(crate) async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let mut url = self.url.join("/api/v1/query").expect("a path");
        url.query_pairs_mut().append_pair("query", expression);
        let answer = self.get(url).await?;
        match &answer["data"]["result"] {
            // A scalar, which is always there.
            Value::Array(pair) if answer["data"]["resultType"] == "scalar" => Ok(pair.clone()),
            Value::Array(series) => Ok(series.clone()),
            other => Err(other.to_string()),
        }
    }

    /// Name and expression of every alert rule.
    pub(crate) async fn rules(&self) -> Vec<(String, String)> {
        let url = self.url.join("/api/v1/rules").expect("a path");
        let answer = self.get(url).await.expect("Prometheus lists its rules");
        let groups = answer["data"]["groups"].as_array().expect("groups").clone();
        let rules = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().expect("rules"));
        let text = |rule: &Value, key: &str| rule[key].as_str().expect("text").to_owned();
        rules
            .map(|rule| (text(rule, "name"), text(rule, "query")))
            .collect()
    }

    /// What Prometheus says about its last scrape; empty if nothing was wrong.
    pub(crate) async fn scrape_error(&self) -> String {
        let url = self.url.join("/api/v1/targets").expect("a path");
        let answer = self.get(url).await.expect("Prometheus lists its targets");
        let target = &answer["data"]["activeTargets"][0];
        target["lastError"].as_str().expect("text").to_owned()
    }

    /// Type and unit of a metric family, as the last scrape described it.
    pub(crate) async fn described(&self, family: &str) -> Option<(String, String)> {
        let mut url = self.url.join("/api/v1/metadata").expect("a path");
        url.query_pairs_mut().append_pair("metric", family);
        let answer = self.get(url).await.expect("Prometheus knows families");
        let described = answer["data"][family].get(0)?;
        let text = |key: &str| described[key].as_str().expect("text").to_owned();
        Some((text("type"), text("unit")))
    }

    /// A number of Prometheus' own metrics.
    pub(crate) async fn own_metric(&self, name: &str) -> f64 {
        let url = self.url.join("/metrics").expect("a path");
        let answer = self.client.get(url).send().await.expect("it answers");
        let text = answer.text().await.expect("text");
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.unwrap_or_else(|| panic!("Prometheus has no {name}"))
    }

    async fn get(&self, url: Url) -> Result<Value, String> {
        let answer = self.client.get(url).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        let answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        match &answer["status"] {
            status if status == "success" => Ok(answer),
            _ => Err(answer["error"].to_string()),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    listener.local_addr().expect("it is bound").port()
}
