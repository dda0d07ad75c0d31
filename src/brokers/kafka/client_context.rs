use std::error::Error;
use std::sync::Arc;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError as KafkaClientError;
use rdkafka::types::RDKafkaErrorCode;
use tokio::runtime::Handle;

use super::oauth::TokenSource;
use crate::config::{KafkaConfig, KafkaSaslConfig};

/// What librdkafka asks of its clients, and where its own words go. Its errors reach the callers as results
/// and a broker that is down is reported by the sampler, so that all but a client that is beyond repair is
/// for debugging.
pub(super) struct Context {
    /// For OAUTHBEARER: where tokens come from, and the runtime that fetches them.
    tokens: Option<(Arc<TokenSource>, Handle)>,
}

impl Context {
    /// Within a tokio runtime, on which tokens are fetched.
    pub(super) fn new(config: &KafkaConfig) -> Self {
        let oauth = config.sasl.as_ref().and_then(KafkaSaslConfig::oauth_client);
        let source = oauth.as_ref().map(TokenSource::of);
        let runtime = Handle::try_current().ok();
        Self {
            tokens: source.zip(runtime),
        }
    }

    /// Whether the login needs tokens, which librdkafka asks for in its polls alone.
    pub(super) const fn asks_for_tokens(&self) -> bool {
        self.tokens.is_some()
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaClientError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            tracing::warn!(%error, reason, "a Kafka client gave up");
        } else {
            tracing::debug!(%error, reason, "librdkafka");
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let Some((source, runtime)) = &self.tokens else {
            return Err("no source of tokens".into());
        };
        let token = source.token_at_hand(runtime)?;
        Ok(OAuthToken {
            token: token.value,
            principal_name: source.principal().to_owned(),
            lifetime_ms: token.expires_at.as_millis(),
        })
    }
}

impl ConsumerContext for Context {}
