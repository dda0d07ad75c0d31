//! Tokens for OAUTHBEARER by the grant "client credentials" (RFC 6749, 4.4).
//!
//! librdkafka asks for a token inside its own poll, where nobody may wait; so it is given the one that
//! is at hand, and a newer one is fetched meanwhile. The sampling client waits for its token. All clients
//! of one login share one source, whatever their number.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use thiserror::Error;
use tokio::runtime::Handle;

use crate::config::OauthClient;
use crate::domain::Timestamp;
use crate::error_chain;
use crate::http_body::bounded_body;

const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// A token has some kilobytes.
const ANSWER_LIMIT: usize = 64 * 1024;

/// How long a token is trusted of which the provider does not say it.
const DEFAULT_LIFETIME: Duration = Duration::from_mins(5);

const LONGEST_LIFETIME: Duration = Duration::from_hours(24 * 365);

/// Why there is no token.
#[derive(Clone, Debug, Error)]
pub enum TokenError {
    #[error("kafka.sasl.token_url cannot be reached: {0}")]
    Unreachable(String),
    #[error("the provider at kafka.sasl.token_url did not answer within {FETCH_TIMEOUT:?}")]
    Timeout,
    #[error(
        "the provider at kafka.sasl.token_url refused (status {status}, {reason}); check kafka.sasl.client_id, client_secret and scope"
    )]
    Refused { status: u16, reason: String },
    #[error("the provider at kafka.sasl.token_url answered without a usable token: {0}")]
    Nonsense(String),
    #[error("no token is there yet; it is being fetched")]
    NotYet,
}

/// A token and when it is worth something.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) value: String,
    pub(super) obtained_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

impl Token {
    fn is_valid(&self, now: Timestamp) -> bool {
        now.0 < self.expires_at.0
    }

    /// In the first half of its life it is not worth a request.
    fn is_fresh(&self, now: Timestamp) -> bool {
        now.0 < i64::midpoint(self.obtained_at.0, self.expires_at.0)
    }
}

/// Where the tokens of one login come from.
pub(super) struct TokenSource {
    client: OauthClient,
    latest: Mutex<Option<Token>>,
    /// One request at a time.
    fetching: tokio::sync::Mutex<()>,
}

/// Sources by login. An identity provider must not be asked once for each client that Redrive opens.
static SOURCES: LazyLock<Mutex<HashMap<OauthClient, Arc<TokenSource>>>> =
    LazyLock::new(Mutex::default);

impl TokenSource {
    pub(super) fn of(client: &OauthClient) -> Arc<Self> {
        let mut sources = SOURCES.lock().unwrap_or_else(PoisonError::into_inner);
        let source = sources.entry(client.clone()).or_insert_with(|| {
            Arc::new(Self {
                client: client.clone(),
                latest: Mutex::default(),
                fetching: tokio::sync::Mutex::default(),
            })
        });
        Arc::clone(source)
    }

    /// The principal that librdkafka wants to know; brokers take theirs from the token.
    pub(super) fn principal(&self) -> &str {
        &self.client.client_id
    }

    /// A token in the first half of its life, fetched if need be; an older one if the provider is away.
    pub(super) async fn token(&self) -> Result<Token, TokenError> {
        let _alone = self.fetching.lock().await;
        let known = self.latest();
        if let Some(token) = known
            .clone()
            .filter(|token| token.is_fresh(Timestamp::now()))
        {
            return Ok(token);
        }
        match tokio::time::timeout(FETCH_TIMEOUT, fetch(&self.client)).await {
            Ok(Ok(token)) => {
                *self.lock() = Some(token.clone());
                Ok(token)
            }
            Ok(Err(error)) => still_valid(known).ok_or(error),
            Err(_) => still_valid(known).ok_or(TokenError::Timeout),
        }
    }

    /// The token at hand, without waiting; fetches one for the next call unless it is fresh.
    pub(super) fn token_at_hand(self: &Arc<Self>, runtime: &Handle) -> Result<Token, TokenError> {
        let known = self.latest();
        let is_fresh = |token: &Token| token.is_fresh(Timestamp::now());
        if !known.as_ref().is_some_and(is_fresh) {
            let source = Arc::clone(self);
            runtime.spawn(async move {
                if let Err(error) = source.token().await {
                    tracing::warn!(%error, "no new token for Kafka");
                }
            });
        }
        still_valid(known).ok_or(TokenError::NotYet)
    }

    fn latest(&self) -> Option<Token> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Token>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn still_valid(token: Option<Token>) -> Option<Token> {
    token.filter(|token| token.is_valid(Timestamp::now()))
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<f64>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

async fn fetch(oauth: &OauthClient) -> Result<Token, TokenError> {
    // The HTTP client asserts that there is one; a second one is refused, which is as good.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let client = Client::builder()
        .timeout(FETCH_TIMEOUT)
        .redirect(Policy::none())
        .build()
        .map_err(unreachable)?;
    let obtained_at = Timestamp::now();
    let request = client
        .post(&oauth.token_url)
        .basic_auth(
            form_encoded(&oauth.client_id),
            Some(form_encoded(oauth.client_secret.expose())),
        )
        .header("accept", "application/json")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(grant(oauth));
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let body = bounded_body(response, ANSWER_LIMIT).await;
    let too_large = || TokenError::Nonsense(format!("more than {ANSWER_LIMIT} bytes"));
    let body = body.map_err(unreachable)?.ok_or_else(too_large)?;
    if status != StatusCode::OK {
        return Err(refusal(status, &body));
    }
    token_of(&body, obtained_at)
}

fn grant(oauth: &OauthClient) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(scope) = &oauth.scope {
        form.append_pair("scope", scope);
    }
    form.finish()
}

/// RFC 6749, 2.3.1: both parts are form-encoded before they are joined.
fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn token_of(body: &[u8], obtained_at: Timestamp) -> Result<Token, TokenError> {
    let answer: TokenAnswer = serde_json::from_slice(body)
        // The text of serde's error may hold the token.
        .map_err(|_| TokenError::Nonsense("it is no JSON with an access_token".to_owned()))?;
    let value = answer.access_token;
    // What RFC 6750 allows in a bearer token; above all no separator of a SASL message.
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenError::Nonsense(
            "its access_token is empty or not of printable characters".to_owned(),
        ));
    }
    let lifetime = match answer.expires_in {
        None => DEFAULT_LIFETIME,
        Some(seconds) if seconds >= 1.0 => Duration::try_from_secs_f64(seconds)
            .unwrap_or(LONGEST_LIFETIME)
            .min(LONGEST_LIFETIME),
        Some(_) => {
            return Err(TokenError::Nonsense(
                "its token has expired already".to_owned(),
            ));
        }
    };
    let millis = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
    Ok(Token {
        value,
        obtained_at,
        expires_at: Timestamp(obtained_at.0.saturating_add(millis)),
    })
}

fn refusal(status: StatusCode, body: &[u8]) -> TokenError {
    let reason = match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => format!("{} {}", refusal.error, refusal.error_description),
        Err(_) => "no reason given".to_owned(),
    };
    let visible = reason.chars().filter(|c| !c.is_control()).take(300);
    TokenError::Refused {
        status: status.as_u16(),
        reason: visible.collect::<String>().trim_end().to_owned(),
    }
}

/// The URL is known.
fn unreachable(error: reqwest::Error) -> TokenError {
    TokenError::Unreachable(error_chain(&error.without_url()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn a_token_lives_as_long_as_the_provider_says() {
        let check = |body: &str, expected: Option<i64>| {
            let token = token_of(body.as_bytes(), NOW).ok();
            assert_eq!(
                token.map(|token| token.expires_at.0 - NOW.0),
                expected,
                "{body}"
            );
        };
        check(r#"{"access_token":"a","expires_in":60}"#, Some(60_000));
        check(r#"{"access_token":"a"}"#, Some(300_000));
        check(
            r#"{"access_token":"a","expires_in":1e300}"#,
            Some(31_536_000_000),
        );
        check(r#"{"access_token":"a","expires_in":0}"#, None);
        check(r#"{"access_token":"a\u0001b","expires_in":60}"#, None);
        check(r#"{"access_token":""}"#, None);
        check("hello", None);
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_not_repeated() {
        let error = token_of(br#"{"access_token":{"inner":"hunter2"}}"#, NOW)
            .err()
            .unwrap();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn half_a_life_is_fresh() {
        let token = token_of(br#"{"access_token":"a","expires_in":60}"#, NOW).unwrap();
        assert!(token.is_fresh(Timestamp(NOW.0 + 29_000)));
        assert!(!token.is_fresh(Timestamp(NOW.0 + 31_000)));
        assert!(token.is_valid(Timestamp(NOW.0 + 59_999)));
        assert!(!token.is_valid(Timestamp(NOW.0 + 60_000)));
    }
}
