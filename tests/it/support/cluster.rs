//! The cluster of three Kafka nodes that speak TLS and every SASL mechanism, and a provider of tokens for
//! it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use redrive::config::{KafkaConfig, KafkaSaslConfig, KafkaTlsConfig, SaslMechanism, Secret};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::required;

/// A listener of each node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Listener {
    /// Plain text, nobody logs in.
    Internal,
    /// TLS, on which both sides show a certificate.
    MutualTls,
    /// A login over TLS, by every mechanism.
    Login,
    /// A login in plain text, by SCRAM-SHA-256 alone.
    OpenLogin,
}

pub(crate) fn cluster(listener: Listener) -> KafkaConfig {
    let variable = match listener {
        Listener::Internal => "REDRIVE_TEST_CLUSTER",
        Listener::MutualTls => "REDRIVE_TEST_CLUSTER_MUTUAL_TLS",
        Listener::Login => "REDRIVE_TEST_CLUSTER_LOGIN",
        Listener::OpenLogin => "REDRIVE_TEST_CLUSTER_OPEN_LOGIN",
    };
    KafkaConfig {
        bootstrap_servers: required(variable).split(',').map(str::to_owned).collect(),
        ..KafkaConfig::default()
    }
}

/// A file among the cluster's certificates.
pub(crate) fn certificate(name: &str) -> PathBuf {
    PathBuf::from(required("REDRIVE_TEST_CLUSTER_CERTIFICATES")).join(name)
}

/// TLS that trusts the cluster.
pub(crate) fn trusting() -> KafkaTlsConfig {
    KafkaTlsConfig {
        ca_file: Some(certificate("ca.pem")),
        ..KafkaTlsConfig::default()
    }
}

/// The same with a certificate to show.
pub(crate) fn known_to_the_cluster() -> KafkaTlsConfig {
    KafkaTlsConfig {
        certificate_file: Some(certificate("client.pem")),
        key_file: Some(certificate("client.key")),
        ..trusting()
    }
}

/// The login that the cluster knows.
pub(crate) fn login(mechanism: SaslMechanism) -> KafkaSaslConfig {
    KafkaSaslConfig {
        mechanism,
        username: Some(required("REDRIVE_TEST_CLUSTER_USER")),
        password: Some(Secret::new(required("REDRIVE_TEST_CLUSTER_PASSWORD"))),
        token_url: None,
        client_id: None,
        client_secret: None,
        scope: None,
    }
}

/// Stops or starts a node, 1 to 3.
pub(crate) async fn node(number: u16, action: &str) {
    let mut command = Command::new(required("REDRIVE_TEST_CLUSTER_CONTROL"));
    command.args(["kafka-node", &number.to_string(), action]);
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{action} of node {number}: {said}");
}

/// Gives tokens to `redrive`/`s3cret:` that are unsigned JWTs, as the cluster takes them.
pub(crate) struct TokenProvider {
    url: String,
    given: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Provider {
    lifetime: Duration,
    given: Arc<AtomicUsize>,
}

const CLIENT: (&str, &str) = ("redrive", "s3cret:");

impl TokenProvider {
    pub(crate) async fn start(lifetime: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let given = Arc::new(AtomicUsize::new(0));
        let provider = Provider {
            lifetime,
            given: Arc::clone(&given),
        };
        let router = Router::new()
            .route("/token", post(give))
            .with_state(provider);
        tokio::spawn(async move { axum::serve(listener, router.into_make_service()).await });
        Self { url, given }
    }

    pub(crate) fn login(&self) -> KafkaSaslConfig {
        KafkaSaslConfig {
            mechanism: SaslMechanism::OauthBearer,
            username: None,
            password: None,
            token_url: Some(self.url.clone()),
            client_id: Some(CLIENT.0.to_owned()),
            client_secret: Some(Secret::new(CLIENT.1)),
            scope: Some("kafka events".to_owned()),
        }
    }

    pub(crate) fn given(&self) -> usize {
        self.given.load(Ordering::SeqCst)
    }
}

async fn give(
    State(provider): State<Provider>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, String) {
    // Both parts are form-encoded within Basic (RFC 6749, 2.3.1).
    let expected = format!("Basic {}", STANDARD.encode("redrive:s3cret%3A"));
    if headers["authorization"] != expected.as_str() {
        let refusal = r#"{"error":"invalid_client","error_description":"unknown client"}"#;
        return (StatusCode::UNAUTHORIZED, refusal.to_owned());
    }
    assert_eq!(body, "grant_type=client_credentials&scope=kafka+events");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let claims = serde_json::json!({
        "sub": CLIENT.0,
        "iat": now.as_secs(),
        "exp": (now + provider.lifetime).as_secs(),
    });
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let token = format!(
        "{}.{}.",
        part(r#"{"alg":"none"}"#),
        part(&claims.to_string())
    );
    provider.given.fetch_add(1, Ordering::SeqCst);
    let answer = serde_json::json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": provider.lifetime.as_secs(),
    });
    (StatusCode::OK, answer.to_string())
}
