use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError as KafkaClientError;
use rdkafka::types::RDKafkaErrorCode;

/// Where librdkafka's own words go. Its errors reach the callers as results and a broker that is down
/// is reported by the sampler, so that all but a client that is beyond repair is for debugging.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientLog;

impl ClientContext for ClientLog {
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
}

impl ConsumerContext for ClientLog {}
