//! Every kind of queue that a DLQ may be, and what Redrive may do with each on the RabbitMQ that the tests
//! run against: a table, so that no kind is forgotten where another is tried.

use redrive::brokers::rabbitmq::BrokerVersion;
use redrive::domain::{AmqpValue, QueueName};

use super::rabbitmq::{number, text};

/// Messages that each queue holds; the queues with a length limit are full with them.
pub(crate) const MESSAGES: usize = 12;

/// Where the dead letters of a DLQ that dead-letters itself go.
pub(crate) const ONWARD: &str = "onward";

/// Whether Redrive may, and if not, what the reason names.
pub(crate) type Verdict = Result<(), &'static str>;

pub(crate) struct Kind {
    pub(crate) queue: QueueName,
    pub(crate) arguments: Vec<(String, AmqpValue)>,
    pub(crate) life: Life,
    /// The application reads the queue itself.
    pub(crate) has_consumer: bool,
    /// The first messages of the queue come by priority.
    pub(crate) has_priorities: bool,
    pub(crate) observed: Verdict,
    pub(crate) managed: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Lasting,
    /// Deleted when its last consumer leaves.
    AutoDelete,
    /// Only for the connection that declared it.
    Exclusive,
}

type Arguments = Vec<(String, AmqpValue)>;

impl Kind {
    fn new(name: &str, arguments: Arguments, observed: Verdict, managed: Verdict) -> Self {
        Self {
            queue: QueueName::new(format!("{name}.dlq")),
            arguments,
            life: Life::Lasting,
            has_consumer: false,
            has_priorities: false,
            observed,
            managed,
        }
    }

    fn of_life(life: Life, name: &str, reason: &'static str) -> Self {
        Self {
            life,
            ..Self::new(name, vec![], Err(reason), Err(reason))
        }
    }

    fn with_consumer(name: &str, arguments: Arguments) -> Self {
        Self {
            has_consumer: true,
            ..Self::new(name, arguments, Err("consumer"), Err("another consumer"))
        }
    }

    pub(crate) fn is_stream(&self) -> bool {
        let stream = AmqpValue::long_string("stream");
        let named =
            |(name, value): &(String, AmqpValue)| name == "x-queue-type" && *value == stream;
        self.arguments.iter().any(named)
    }
}

/// The kinds that this release knows.
pub(crate) fn kinds(version: &BrokerVersion) -> Vec<Kind> {
    let mut kinds = classic_kinds();
    kinds.extend(quorum_kinds(version));
    let stream = vec![text("x-queue-type", "stream")];
    kinds.push(Kind::new(
        "stream",
        stream,
        Ok(()),
        Err("only classic and quorum"),
    ));
    kinds.push(Kind::of_life(
        Life::AutoDelete,
        "auto-delete",
        "auto-delete",
    ));
    kinds.push(Kind::of_life(Life::Exclusive, "exclusive", "exclusive"));
    kinds
}

fn classic_kinds() -> Vec<Kind> {
    let plain = |name, arguments, observed| Kind::new(name, arguments, observed, Ok(()));
    let priorities = vec![number("x-max-priority", 5)];
    vec![
        plain("classic", vec![], Ok(())),
        Kind {
            has_priorities: true,
            ..plain("classic.priority", priorities, Ok(()))
        },
        plain(
            "classic.expires",
            vec![number("x-expires", 600_000)],
            Ok(()),
        ),
        plain(
            "classic.ttl",
            with_onward(message_ttl()),
            Err("message TTL"),
        ),
        plain("classic.full.drop", drop_head(), Err("drop-head")),
        plain(
            "classic.full.drop.onward",
            with_onward(drop_head()),
            Err("drop-head"),
        ),
        plain("classic.full.reject", reject("reject-publish"), Ok(())),
        plain(
            "classic.full.reject.onward",
            with_onward(reject("reject-publish-dlx")),
            Ok(()),
        ),
        plain("classic.single", single(), Err("single active consumer")),
        Kind::with_consumer("classic.consumed", vec![]),
        Kind::with_consumer("classic.single.consumed", single()),
    ]
}

fn quorum_kinds(version: &BrokerVersion) -> Vec<Kind> {
    let is_before_4 = version.is_surely_before(4, 0);
    // What has no limit has to be told so since 4.0. Before, the same words destroy what comes back first.
    let lifted = || vec![number("x-delivery-limit", -1)];
    let unlimited = || if is_before_4 { vec![] } else { lifted() };
    let quorum = |name, mut arguments: Arguments, observed, managed| {
        arguments.push(text("x-queue-type", "quorum"));
        Kind::new(name, arguments, observed, managed)
    };
    let plain = |name, more: Arguments, observed| {
        quorum(name, [unlimited(), more].concat(), observed, Ok(()))
    };
    let limited = |name, arguments, reason| quorum(name, arguments, Err(reason), Err(reason));
    let (default, lifted) = if is_before_4 {
        (
            plain("quorum.default", vec![], Ok(())),
            limited(
                "quorum.lifted",
                with_onward(lifted()),
                "delivery limit of 0",
            ),
        )
    } else {
        let limit = "delivery limit of 20";
        // A look has a price, which nobody accepts here.
        let is_counted_here = version.is_surely_before(4, 3);
        let looked_at = if is_counted_here {
            "1 of the 20 times"
        } else {
            limit
        };
        (
            quorum("quorum.default", vec![], Err(looked_at), Err(limit)),
            quorum("quorum.lifted", with_onward(lifted()), Ok(()), Ok(())),
        )
    };
    let by_one = with_onward(vec![number("x-delivery-limit", 1)]);
    let mut kinds = vec![
        plain("quorum", vec![], Ok(())),
        default,
        lifted,
        limited("quorum.limited", by_one, "delivery limit of 1"),
        plain("quorum.ttl", with_onward(message_ttl()), Err("message TTL")),
        plain("quorum.expires", vec![number("x-expires", 600_000)], Ok(())),
        plain(
            "quorum.full.drop",
            with_onward(drop_head()),
            Err("drop-head"),
        ),
        plain("quorum.full.reject", reject("reject-publish"), Ok(())),
        plain("quorum.single", single(), Err("single active consumer")),
        Kind::with_consumer(
            "quorum.single.consumed",
            [unlimited(), single(), vec![text("x-queue-type", "quorum")]].concat(),
        ),
    ];
    if !version.is_surely_before(4, 3) {
        let held_back = vec![text("x-delayed-retry-type", "returned")];
        kinds.push(plain(
            "quorum.delayed",
            held_back,
            Err("delayed-retry-type"),
        ));
    }
    kinds
}

/// Longer than any test: what expires is not looked for, but what is lost because it was held.
fn message_ttl() -> Arguments {
    vec![number("x-message-ttl", 600_000)]
}

fn full() -> (String, AmqpValue) {
    number("x-max-length", i32::try_from(MESSAGES).unwrap())
}

fn drop_head() -> Arguments {
    vec![full()]
}

fn reject(overflow: &str) -> Arguments {
    vec![full(), text("x-overflow", overflow)]
}

fn single() -> Arguments {
    vec![(
        "x-single-active-consumer".to_owned(),
        AmqpValue::Boolean(true),
    )]
}

fn with_onward(mut arguments: Arguments) -> Arguments {
    arguments.push(text("x-dead-letter-exchange", ""));
    arguments.push(text("x-dead-letter-routing-key", ONWARD));
    arguments
}
