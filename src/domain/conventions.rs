//! Names of headers that Redrive, its sample workload and the usual guides to event-driven
//! communication write. Each writer and each reader takes them from here, so that they cannot drift
//! apart.
//!
//! On Kafka every value is UTF-8 text; numbers are decimal. On RabbitMQ every value is a long string,
//! except [`RETRY_COUNT`], which is an integer where the client library offers one.

/// Error class of the consumer that gave up, such as `PaymentGatewayTimeout`.
pub const ERROR_CLASS: &str = "x-error-class";
/// What the consumer had to say about the error.
pub const ERROR_MESSAGE: &str = "x-error-message";
/// Optional: the stack trace, in the form of the consumer's language.
pub const ERROR_STACKTRACE: &str = "x-error-stacktrace";
/// The topic from which the consumer had read the record.
pub const ORIGINAL_TOPIC: &str = "x-original-topic";
/// Decimal.
pub const ORIGINAL_PARTITION: &str = "x-original-partition";
/// Decimal.
pub const ORIGINAL_OFFSET: &str = "x-original-offset";
/// The timestamp of the original record, in decimal milliseconds since the Unix epoch.
pub const ORIGINAL_TIMESTAMP: &str = "x-original-timestamp";
/// The consumer group that gave up.
pub const CONSUMER_GROUP: &str = "x-consumer-group";
/// When the consumer gave up, RFC 3339.
pub const FAILED_AT: &str = "x-failed-at";
/// How often the consumer tried in all, decimal.
pub const ATTEMPTS: &str = "x-attempts";

/// RabbitMQ: how often the consumer sent the message through its retry queues.
pub const RETRY_COUNT: &str = "x-retry-count";
/// RabbitMQ: the routing key of the first publish, which the retry queues replace.
pub const ORIGINAL_ROUTING_KEY: &str = "x-original-routing-key";

/// The identity of this replay of this message (a UUID): the same across retries and crashes, so it
/// serves consumers as an idempotency key.
pub const REPLAY_ID: &str = "x-replay-id";
/// The job to which the replay belongs (a UUID).
pub const REPLAY_JOB_ID: &str = "x-replay-job-id";
/// How many times this dead letter has been replayed in all, this time included; decimal.
pub const REPLAY_ATTEMPT: &str = "x-replay-attempt";
/// Where the dead letter lies or lay: `Position::replay_source`.
pub const REPLAY_SOURCE: &str = "x-replay-source";
/// `true` if a person or a transform changed body or headers; otherwise absent.
pub const REPLAY_EDITED: &str = "x-replay-edited";
/// SHA-256 of the body before the edit, in hex; only beside [`REPLAY_EDITED`].
pub const REPLAY_ORIGINAL_SHA256: &str = "x-replay-original-sha256";
/// The timestamp of the original record, in decimal milliseconds since the Unix epoch.
pub const REPLAY_ORIGINAL_TIMESTAMP: &str = "x-replay-original-timestamp";
/// The stripped error as compact JSON of at most 2 KiB.
pub const REPLAY_PREV_ERROR: &str = "x-replay-prev-error";
/// RabbitMQ: the stripped `x-death`, `x-first-death-*` and `x-last-death-*` as compact JSON of at most 4 KiB.
pub const REPLAY_PREV_DEATHS: &str = "x-replay-prev-deaths";

/// Every header that a replay adds. A replay that died again carries the ones of its predecessor,
/// which the next replay replaces.
pub const REPLAY_HEADERS: [&str; 9] = [
    REPLAY_ID,
    REPLAY_JOB_ID,
    REPLAY_ATTEMPT,
    REPLAY_SOURCE,
    REPLAY_EDITED,
    REPLAY_ORIGINAL_SHA256,
    REPLAY_ORIGINAL_TIMESTAMP,
    REPLAY_PREV_ERROR,
    REPLAY_PREV_DEATHS,
];

/// The event's own ID.
pub const EVENT_ID: &str = "eventId";
/// What kind of event it is, such as `OrderCreated`.
pub const EVENT_TYPE: &str = "eventType";
/// Equal for all events of one business transaction.
pub const CORRELATION_ID: &str = "correlationId";
/// The ID of the event that caused this one.
pub const CAUSATION_ID: &str = "causationId";
/// The entity that the event is about, usually the record key.
pub const AGGREGATE_ID: &str = "aggregateId";

/// RabbitMQ: the dead-letter routing key of the queue in which a tap of the traces gets its copies, on the
/// default exchange. Names that begin with `amq.` are refused to clients (403, seen on 3.10.8), so that no
/// queue can have this one: what the queue drops dies, whatever dead-letter exchange a policy names.
pub const TAP_DEAD_LETTER_KEY: &str = "amq.redrive-tap";
