//! The HTTP API of a running Redrive, so that a shell does what the pages do through the same one writer.

use anyhow::{Context as _, bail};
use serde_json::Value;
use url::Url;

/// Where Redrive is and how its answer is shown.
#[derive(Debug, clap::Args)]
pub(super) struct ApiArgs {
    /// The address of a running Redrive.
    #[arg(
        long,
        env = "REDRIVE_URL",
        default_value = "http://127.0.0.1:8750",
        global = true
    )]
    url: Url,
    /// Print what the API answered, as JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl ApiArgs {
    /// The address of a path below `/api/v1`.
    fn address(&self, path: &[&str], query: &[(&str, &str)]) -> anyhow::Result<Url> {
        let mut url = self.url.clone();
        {
            let Ok(mut segments) = url.path_segments_mut() else {
                bail!(
                    "--url {} is no address of a web server; write http://HOST:PORT",
                    self.url
                );
            };
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        url.query_pairs_mut().extend_pairs(query);
        Ok(url)
    }

    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> anyhow::Result<Value> {
        let request = reqwest::Client::new().get(self.address(path, query)?);
        self.answer(request).await
    }

    pub(super) async fn post(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        let request = reqwest::Client::new().post(self.address(path, &[])?);
        self.answer(request.json(body)).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let response = request.send().await.with_context(|| {
            format!(
                "no answer from {}; is `redrive serve` running there? --url or REDRIVE_URL says where",
                self.url
            )
        })?;
        let status = response.status();
        let answer: Value = response
            .json()
            .await
            .with_context(|| format!("{} answers {status}, but not as Redrive does", self.url))?;
        if status.is_success() {
            return Ok(answer);
        }
        let detail = answer["detail"].as_str().unwrap_or("without a reason");
        bail!("{}", super::terminal::visible(detail))
    }
}
