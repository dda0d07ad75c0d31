//! Messages over AMQP 0-9-1.
//!
//! lapin's auto-recovery is off: it hides that unacknowledged messages went back and declares again
//! what somebody deleted. Any error drops the connection; whoever holds it opens a new one and goes on
//! from what the store knows. Publishing and consuming use separate connections, because a broker that
//! throttles publishers would hold back acknowledgements too (broker-facts D.4, E.1).
//!
//! Every question has a time-out ([`connect`]), and every frame is read before lapin's parser sees it
//! ([`guarded_stream`]): the parser would let one small message end the process.

mod acceptable;
mod channel;
mod connect;
mod convert;
mod count;
mod custody_rules;
mod error;
mod fingerprint;
mod frame_scan;
mod guarded_stream;
mod managed;
mod observe;
mod publisher;
mod return_publisher;
mod stream;
mod tap;

pub use channel::{AmqpChannel, AmqpDelivery, QueueConsumer};
pub use custody_rules::{
    ANOTHER_CONSUMER, GiveBack, LookRule, managed_refusal, observe_rule, settings_refusal,
};
pub use error::AmqpError;
pub use fingerprint::fingerprint;
pub use guarded_stream::guarded;
pub use managed::{ManagedConsumer, TakenMessage, custody_prefetch};
pub use observe::{HeldWindow, LookOrder, ObserveError, hold_window};
pub use publisher::{OutgoingMessage, PublishOutcome, ReplayPublisher};
pub use return_publisher::{ReturnOutcome, ReturnPublisher, as_returned};
pub use stream::{StreamMessage, StreamStart, read_stream};
pub use tap::{TAP_EXPIRES, TAP_MAX_BYTES, TapCopy, TapQueue, TapQueueError, configured_vhosts};
