use std::time::Duration;

use super::*;
use crate::domain::{BindingDestination, DeadLetterTarget, ExchangeName};

fn vhost() -> VhostName {
    VhostName::new("/")
}

/// A queue that one consumer reads.
fn queue(name: &str) -> QueueSample {
    QueueSample {
        messages: Some(0),
        ready: Some(0),
        unacked: Some(0),
        consumers: Some(1),
        ..QueueSample::classic(vhost(), QueueName::new(name))
    }
}

fn idle(queue: QueueSample) -> QueueSample {
    QueueSample {
        consumers: Some(0),
        ..queue
    }
}

fn dying_to(exchange: &str, routing_key: Option<&str>, queue: QueueSample) -> QueueSample {
    QueueSample {
        dead_letter: Some(DeadLetterTarget {
            exchange: ExchangeName::new(exchange),
            routing_key: routing_key.map(str::to_owned),
        }),
        ..queue
    }
}

fn waiting(seconds: u64, queue: QueueSample) -> QueueSample {
    QueueSample {
        message_ttl: Some(Duration::from_secs(seconds)),
        consumers: Some(0),
        ..queue
    }
}

fn exchange(name: &str, kind: &str) -> ExchangeSample {
    ExchangeSample {
        vhost: vhost(),
        exchange: ExchangeName::new(name),
        kind: kind.to_owned(),
        alternate_exchange: None,
    }
}

fn with_alternate(alternate: &str, exchange: ExchangeSample) -> ExchangeSample {
    ExchangeSample {
        alternate_exchange: Some(ExchangeName::new(alternate)),
        ..exchange
    }
}

fn bind(source: &str, key: &str, queue: &str) -> BindingSample {
    BindingSample {
        vhost: vhost(),
        exchange: ExchangeName::new(source),
        destination: BindingDestination::Queue(QueueName::new(queue)),
        routing_key: key.to_owned(),
        has_arguments: false,
    }
}

fn bind_exchange(source: &str, key: &str, destination: &str) -> BindingSample {
    BindingSample {
        destination: BindingDestination::Exchange(ExchangeName::new(destination)),
        ..bind(source, key, "")
    }
}

#[derive(Default)]
struct Broker {
    queues: Vec<QueueSample>,
    exchanges: Vec<ExchangeSample>,
    bindings: Vec<BindingSample>,
    overrides: TopologyOverrides,
}

impl Broker {
    fn topology(&self, queue: &str) -> QueueTopology {
        let all = classify_queues(
            &self.queues,
            &self.exchanges,
            &self.bindings,
            &self.overrides,
        );
        assert_eq!(all.len(), self.queues.len());
        all.into_iter().find(|t| t.queue.as_str() == queue).unwrap()
    }

    #[track_caller]
    fn check(&self, expected: &[(&str, QueueRole)]) {
        for (queue, role) in expected {
            assert_eq!(self.topology(queue).role, *role, "{queue}");
        }
    }
}

/// The sample workload's queues, all of whose consumers are down, which is when a wrong rule bites.
fn sample_topology() -> Broker {
    let retry = |n: u32, seconds| {
        let queue = queue(&format!("orders.retry.{n}"));
        waiting(seconds, dying_to("events", Some("order.created"), queue))
    };
    Broker {
        queues: vec![
            idle(dying_to(
                "events.dlx",
                Some("orders.dead"),
                queue("orders.queue"),
            )),
            retry(1, 1),
            retry(2, 2),
            retry(3, 4),
            idle(queue("orders.dlq")),
        ],
        exchanges: vec![
            exchange("events", "topic"),
            exchange("events.dlx", "direct"),
        ],
        bindings: vec![
            bind("events", "order.*", "orders.queue"),
            bind("events.dlx", "orders.dead", "orders.dlq"),
            bind("", "orders.queue", "orders.queue"),
        ],
        overrides: TopologyOverrides::default(),
    }
}

#[test]
fn the_sample_topology_never_offers_the_applications_own_queue() {
    let broker = sample_topology();
    broker.check(&[
        ("orders.queue", QueueRole::Work),
        ("orders.retry.1", QueueRole::Retry),
        ("orders.retry.2", QueueRole::Retry),
        ("orders.retry.3", QueueRole::Retry),
        ("orders.dlq", QueueRole::Dlq),
    ]);
    let work = broker.topology("orders.queue");
    assert_eq!(work.dead_letters_to, [QueueName::new("orders.dlq")]);
    assert!(!work.unroutable);
    let retry = broker.topology("orders.retry.1");
    assert_eq!(retry.dead_letters_to, [QueueName::new("orders.queue")]);
}

#[test]
fn a_look_into_a_retry_queue_does_not_make_its_target_a_dlq() {
    let mut broker = sample_topology();
    broker.queues[1].consumers = Some(1);
    broker.check(&[
        ("orders.queue", QueueRole::Work),
        ("orders.dlq", QueueRole::Dlq),
    ]);
}

#[test]
fn unknown_consumers_are_doubt() {
    let mut broker = sample_topology();
    for queue in &mut broker.queues {
        queue.consumers = None;
    }
    broker.check(&[
        ("orders.queue", QueueRole::Work),
        ("orders.retry.1", QueueRole::Work),
        ("orders.dlq", QueueRole::Work),
    ]);
}

#[test]
fn a_consumer_of_ours_does_not_count_and_anothers_does() {
    let mut broker = sample_topology();
    let dlq = (vhost(), QueueName::new("orders.dlq"));
    broker.queues[4].consumers = Some(1);
    broker.check(&[("orders.dlq", QueueRole::Work)]);
    broker.overrides.own_consumers.insert(dlq, 1);
    broker.check(&[("orders.dlq", QueueRole::Dlq)]);
    broker.queues[4].consumers = Some(2);
    broker.check(&[("orders.dlq", QueueRole::Work)]);
}

#[test]
fn the_configured_role_wins() {
    let mut broker = sample_topology();
    let configured = [
        ("orders.dlq", QueueRole::Parking),
        ("orders.retry.1", QueueRole::Work),
        ("orders.queue", QueueRole::Dlq),
    ];
    for (queue, role) in configured {
        let key = (vhost(), QueueName::new(queue));
        broker.overrides.roles.insert(key, role);
    }
    broker.check(&configured);
}

#[test]
fn a_queue_without_consumers_and_without_a_ttl_is_no_retry_queue() {
    let broker = Broker {
        queues: vec![
            idle(dying_to("", Some("dead"), queue("orders"))),
            idle(queue("dead")),
        ],
        ..Broker::default()
    };
    broker.check(&[("orders", QueueRole::Work), ("dead", QueueRole::Dlq)]);
}

#[test]
fn dead_letters_that_come_back_are_no_dlq() {
    // The TTL lies on each message, so that nothing but the circle tells a waiting room.
    let broker = Broker {
        queues: vec![
            idle(dying_to("", Some("wait"), queue("orders"))),
            idle(dying_to("", Some("orders"), queue("wait"))),
            idle(dying_to("", Some("self"), queue("self"))),
        ],
        ..Broker::default()
    };
    broker.check(&[
        ("orders", QueueRole::Work),
        ("wait", QueueRole::Work),
        ("self", QueueRole::Work),
    ]);
}

#[test]
fn a_target_whose_own_dead_letters_may_go_anywhere_is_no_dlq() {
    let broker = Broker {
        queues: vec![
            idle(dying_to("", Some("wait"), queue("orders"))),
            idle(dying_to("events", None, queue("wait"))),
        ],
        exchanges: vec![exchange("events", "topic")],
        bindings: vec![bind("events", "order.*", "orders")],
        ..Broker::default()
    };
    broker.check(&[("wait", QueueRole::Work), ("orders", QueueRole::Work)]);
}

#[test]
fn a_queue_behind_a_dlq_is_work() {
    let broker = Broker {
        queues: vec![
            idle(dying_to("", Some("dlq"), queue("orders"))),
            idle(dying_to("", Some("overflow"), queue("dlq"))),
            idle(queue("overflow")),
        ],
        ..Broker::default()
    };
    broker.check(&[("dlq", QueueRole::Dlq), ("overflow", QueueRole::Work)]);
}

/// The work queue `orders` is bound to `events` with `order.*` and dies to `dlx`.
#[track_caller]
fn check_route(
    routing_key: Option<&str>,
    exchanges: Vec<ExchangeSample>,
    mut bindings: Vec<BindingSample>,
    expected: &[&str],
    unroutable: bool,
) {
    bindings.push(bind("events", "order.*", "orders"));
    let mut broker = Broker {
        queues: vec![
            dying_to("dlx", routing_key, queue("orders")),
            idle(queue("dead")),
            idle(queue("other")),
        ],
        exchanges,
        bindings,
        ..Broker::default()
    };
    broker.exchanges.push(exchange("events", "topic"));
    let topology = broker.topology("orders");
    let names: Vec<&str> = topology
        .dead_letters_to
        .iter()
        .map(QueueName::as_str)
        .collect();
    assert_eq!(
        (names.as_slice(), topology.unroutable),
        (expected, unroutable)
    );
    for target in ["dead", "other"] {
        let role = if expected.contains(&target) {
            QueueRole::Dlq
        } else {
            QueueRole::Work
        };
        assert_eq!(broker.topology(target).role, role, "{target}");
    }
}

#[test]
fn a_fixed_key_is_routed_as_the_broker_does() {
    let direct = || vec![exchange("dlx", "direct")];
    let topic = || vec![exchange("dlx", "topic")];
    let key = Some("orders.dead");
    check_route(key, vec![], vec![], &[], true);
    check_route(key, direct(), vec![], &[], true);
    check_route(key, direct(), vec![bind("dlx", "wrong", "dead")], &[], true);
    check_route(
        key,
        direct(),
        vec![bind("dlx", "orders.*", "dead")],
        &[],
        true,
    );
    check_route(
        key,
        direct(),
        vec![bind("dlx", "orders.dead", "dead")],
        &["dead"],
        false,
    );
    check_route(
        key,
        topic(),
        vec![bind("dlx", "*.dead", "dead")],
        &["dead"],
        false,
    );
    check_route(
        key,
        topic(),
        vec![bind("dlx", "orders.#", "dead")],
        &["dead"],
        false,
    );
    check_route(key, topic(), vec![bind("dlx", "*", "dead")], &[], true);
    let both = vec![
        bind("dlx", "#", "other"),
        bind("dlx", "orders.dead", "dead"),
    ];
    check_route(key, topic(), both, &["dead", "other"], false);
    let fanout = vec![exchange("dlx", "fanout")];
    check_route(key, fanout, vec![bind("dlx", "", "dead")], &["dead"], false);
    // Which messages a headers exchange takes cannot be told: neither an edge nor a hole.
    let headers = vec![exchange("dlx", "headers")];
    check_route(key, headers, vec![bind("dlx", "", "dead")], &[], false);
}

#[test]
fn without_a_fixed_key_only_what_every_message_takes_is_an_edge() {
    let direct = || vec![exchange("dlx", "direct")];
    let topic = || vec![exchange("dlx", "topic")];
    check_route(None, vec![], vec![], &[], true);
    check_route(None, direct(), vec![], &[], true);
    check_route(
        None,
        direct(),
        vec![bind("dlx", "orders", "dead")],
        &[],
        false,
    );
    check_route(
        None,
        topic(),
        vec![bind("dlx", "#", "dead")],
        &["dead"],
        false,
    );
    check_route(
        None,
        topic(),
        vec![bind("dlx", "order.*", "dead")],
        &["dead"],
        false,
    );
    check_route(
        None,
        topic(),
        vec![bind("dlx", "order.created", "dead")],
        &[],
        false,
    );
    check_route(
        None,
        vec![exchange("dlx", "fanout")],
        vec![bind("dlx", "", "dead")],
        &["dead"],
        false,
    );
    let incoming = vec![
        bind("events", "order.paid", "orders"),
        bind("dlx", "order.paid", "dead"),
    ];
    check_route(None, direct(), incoming, &["dead"], false);
}

#[test]
fn exchanges_behind_exchanges_are_followed_once() {
    let circle = || vec![exchange("dlx", "topic"), exchange("next", "fanout")];
    let bindings = vec![
        bind_exchange("dlx", "orders.*", "next"),
        bind_exchange("next", "", "dlx"),
        bind("next", "", "dead"),
    ];
    check_route(Some("orders.dead"), circle(), bindings, &["dead"], false);
    let nowhere = vec![
        bind_exchange("dlx", "#", "next"),
        bind_exchange("next", "", "dlx"),
    ];
    check_route(Some("orders.dead"), circle(), nowhere, &[], true);
}

#[test]
fn an_alternate_exchange_takes_what_matches_nothing() {
    let exchanges = || {
        let dlx = with_alternate("rest", exchange("dlx", "direct"));
        vec![dlx, exchange("rest", "fanout")]
    };
    let bindings = |key| vec![bind("dlx", key, "dead"), bind("rest", "", "other")];
    check_route(Some("a"), exchanges(), bindings("a"), &["dead"], false);
    check_route(Some("a"), exchanges(), bindings("b"), &["other"], false);
    check_route(None, exchanges(), bindings("b"), &[], false);
}

#[test]
fn a_publish_reaches_the_queues_that_the_bindings_say() {
    let broker = sample_topology();
    let reach = |exchange: &str, key: &str| {
        reachable_queues(
            &broker.queues,
            &broker.exchanges,
            &broker.bindings,
            &vhost(),
            &ExchangeName::new(exchange),
            key,
        )
    };
    let orders = vec![QueueName::new("orders.queue")];
    assert_eq!(
        reach("events", "order.created"),
        Some((orders.clone(), MoreQueues::None))
    );
    assert_eq!(reach("", "orders.queue"), Some((orders, MoreQueues::None)));
    assert_eq!(reach("", "absent"), Some((vec![], MoreQueues::None)));
    assert_eq!(reach("absent", "order.created"), None);
}

/// `orders` rejects into a chain of two waiting rooms, the second of which returns.
fn retry_cycle() -> Broker {
    let room = |name: &str, next: &str| waiting(5, dying_to("", Some(next), queue(name)));
    Broker {
        queues: vec![
            dying_to("", Some("wait.1"), queue("orders")),
            room("wait.1", "wait.2"),
            room("wait.2", "orders"),
        ],
        ..Broker::default()
    }
}

#[test]
fn a_retry_cycle_is_the_way_back_through_queues_with_a_time_to_live() {
    let check = |broker: &Broker, queue: &str, expected: &[&str]| {
        let way = broker.topology(queue).returns_through;
        let way: Vec<&str> = way.iter().map(QueueName::as_str).collect();
        assert_eq!(way, expected, "{queue}");
    };
    let mut broker = retry_cycle();
    check(&broker, "orders", &["wait.1", "wait.2"]);
    check(&broker, "wait.1", &[]);
    check(&sample_topology(), "orders.queue", &[]);

    broker.queues[2] = dying_to("", Some("elsewhere"), broker.queues[2].clone());
    check(&broker, "orders", &[]);

    broker = retry_cycle();
    broker.queues[1].message_ttl = None;
    check(&broker, "orders", &[]);

    let own = waiting(5, dying_to("", Some("own"), queue("own")));
    broker.queues = vec![own];
    check(&broker, "own", &[]);
}

#[test]
fn a_way_back_is_not_looked_for_without_end() {
    let name = |number: usize| format!("wait.{number}");
    let mut broker = retry_cycle();
    broker.queues[2] = dying_to("", Some("wait.3"), broker.queues[2].clone());
    for number in 3..400 {
        let room = dying_to("", Some(&name(number + 1)), queue(&name(number)));
        broker.queues.push(waiting(5, room));
    }
    let last = dying_to("", Some("orders"), queue("wait.400"));
    broker.queues.push(waiting(5, last));
    assert_eq!(
        broker.topology("orders").returns_through,
        Vec::<QueueName>::new()
    );
}
