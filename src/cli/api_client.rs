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

    /// Posts what needs no body.
    pub(super) async fn post_query(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> anyhow::Result<Value> {
        let request = reqwest::Client::new().post(self.address(path, query)?);
        self.answer(request).await
    }

    /// Posts what is answered without a body.
    pub(super) async fn post_unanswered(&self, path: &[&str], body: &Value) -> anyhow::Result<()> {
        let request = reqwest::Client::new().post(self.address(path, &[])?);
        self.succeed(request.json(body)).await
    }

    pub(super) async fn put(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        let request = reqwest::Client::new().put(self.address(path, &[])?);
        self.answer(request.json(body)).await
    }

    /// Removes something; the answer has no body.
    pub(super) async fn delete(&self, path: &[&str]) -> anyhow::Result<()> {
        let request = reqwest::Client::new().delete(self.address(path, &[])?);
        self.succeed(request).await
    }

    async fn succeed(&self, request: reqwest::RequestBuilder) -> anyhow::Result<()> {
        let response = self.send(request).await?;
        if response.status().is_success() {
            return Ok(());
        }
        self.read(response).await.map(drop)
    }

    /// A long answer, for the caller to read piece by piece; a refusal is an error.
    pub(super) async fn download(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> anyhow::Result<reqwest::Response> {
        let request = reqwest::Client::new().get(self.address(path, query)?);
        let response = self.send(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.read(response).await.err().unwrap_or_else(|| {
            anyhow::anyhow!("{} refused the request without a reason", self.url)
        }))
    }

    /// Posts lines of JSON.
    pub(super) async fn post_lines(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        lines: Vec<u8>,
    ) -> anyhow::Result<Value> {
        let request = reqwest::Client::new()
            .post(self.address(path, query)?)
            .header("content-type", "application/x-ndjson");
        self.answer(request.body(lines)).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let response = self.send(request).await?;
        self.read(response).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        request.send().await.with_context(|| {
            format!(
                "no answer from {}; is `redrive serve` running there? --url or REDRIVE_URL says where",
                self.url
            )
        })
    }

    async fn read(&self, response: reqwest::Response) -> anyhow::Result<Value> {
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
