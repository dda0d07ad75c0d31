//! Who asks for pages: a client that follows nothing, and a browser as far as forms need one.

use reqwest::header::HeaderMap;
use reqwest::{Client, StatusCode, redirect};
use serde_json::Value;

use super::dashboard::Dashboard;
use super::install_crypto_provider;

pub(crate) fn client() -> Client {
    install_crypto_provider();
    Client::builder()
        .redirect(redirect::Policy::none())
        .build()
        .unwrap()
}

/// A browser as far as forms need one: it keeps the cookie and finds the token in a page.
pub(crate) struct Visitor {
    pub(crate) client: Client,
    pub(crate) cookie: String,
    pub(crate) token: String,
}

impl Visitor {
    pub(crate) async fn of(dashboard: &Dashboard) -> Self {
        let client = client();
        let page = client.get(dashboard.url("/status")).send().await.unwrap();
        let cookie = page.headers()["set-cookie"].to_str().unwrap();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
            "{cookie}"
        );
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let html = page.text().await.unwrap();
        let marker = "name=\"csrf\" value=\"";
        let start = html.find(marker).expect("a form with a token") + marker.len();
        let token = html[start..].split('"').next().unwrap().to_owned();
        Self {
            client,
            cookie,
            token,
        }
    }

    pub(crate) async fn post(
        &self,
        url: &str,
        fields: &[(&str, &str)],
    ) -> (StatusCode, HeaderMap, String) {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("csrf", &self.token).extend_pairs(fields);
        let request = self
            .client
            .post(url)
            .header("cookie", &self.cookie)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.finish());
        let response = request.send().await.unwrap();
        (
            response.status(),
            response.headers().clone(),
            response.text().await.unwrap(),
        )
    }
}

pub(crate) async fn get(dashboard: &Dashboard, path: &str) -> (StatusCode, HeaderMap, String) {
    let response = client().get(dashboard.url(path)).send().await.unwrap();
    (
        response.status(),
        response.headers().clone(),
        response.text().await.unwrap(),
    )
}

pub(crate) async fn api(dashboard: &Dashboard, path: &str) -> Value {
    let response = client()
        .get(dashboard.url(&format!("/api/v1{path}")))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.json().await.unwrap()
}
