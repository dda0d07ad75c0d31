//! Snapshots made by hand: a busy day of both brokers, and one of them down.

use std::sync::Arc;
use std::time::Duration;

use redrive::domain::*;
use uuid::Uuid;

pub(super) fn ago(seconds: u64) -> Timestamp {
    Timestamp::now().minus(Duration::from_secs(seconds))
}

/// Both brokers with groups and queues in many conditions.
pub(crate) fn busy_snapshot(now: Timestamp) -> Snapshot {
    let kafka = KafkaDetail {
        topics: vec![
            topic("orders", 3),
            topic("payments", 2),
            topic("orders.dlq", 3),
        ],
        groups: vec![
            group("payment-consumers", GroupVerdict::Slow, 12_845, 2),
            group("analytics-consumers", GroupVerdict::Ok, 42, 1),
            group("fraud-detection", GroupVerdict::Stalled, 1_284, 1),
            group("nightly-export", GroupVerdict::Ok, 0, 0),
            group("shipping-consumers", GroupVerdict::NoMembers, 310, 0),
        ],
    };
    let rabbitmq = RabbitMqDetail {
        version: "3.10.8".to_owned(),
        queues: vec![
            queue(
                "orders.queue",
                QueueRole::Work,
                17,
                &["orders.retry.1", "orders.dlq"],
            ),
            queue("orders.retry.1", QueueRole::Retry, 2, &["orders.queue"]),
            queue("orders.retry.2", QueueRole::Retry, 0, &["orders.queue"]),
            queue("orders.dlq", QueueRole::Dlq, 61, &[]),
            queue("audit.fanout", QueueRole::Work, 0, &[]),
            queue("payments.queue", QueueRole::Work, 0, &["payments.retry"]),
            queue("payments.retry", QueueRole::Retry, 4, &["payments.queue"]),
        ],
        exchanges: vec![],
        bindings: vec![BindingSample {
            vhost: "/".into(),
            exchange: "events".into(),
            destination: BindingDestination::Queue("orders.queue".into()),
            routing_key: "order.created".to_owned(),
            has_arguments: false,
        }],
        dead_lettered: vec![DeadLetteredCounter {
            queue_type: "classic".to_owned(),
            strategy: "disabled".to_owned(),
            reason: "expired".to_owned(),
            count: 12,
        }],
    };
    let health = |version: &str| BrokerHealth {
        up: true,
        error: None,
        last_success: Some(now.minus(Duration::from_secs(4))),
        cost: SampleCost {
            requests: 9,
            requests_by_api: vec![("Metadata".to_owned(), 1), ("ListOffsets".to_owned(), 2)],
            duration: Duration::from_millis(38),
        },
        deriving_took: Duration::from_millis(3),
        problems: vec![],
        facts: vec![
            ("version".to_owned(), version.to_owned()),
            ("counts from".to_owned(), "prometheus plugin".to_owned()),
        ],
    };
    Snapshot {
        taken_at: now,
        clusters: vec![
            Arc::new(ClusterSnapshot {
                name: "kafka".into(),
                system: System::Kafka,
                health: health("4.4.0"),
                detail: Some(ClusterDetail::Kafka(kafka)),
            }),
            Arc::new(ClusterSnapshot {
                name: "rabbitmq".into(),
                system: System::RabbitMq,
                health: health("3.10.8"),
                detail: Some(ClusterDetail::RabbitMq(rabbitmq)),
            }),
        ],
    }
}

/// The same with a broker that went away.
pub(crate) fn snapshot_with_a_broker_down(now: Timestamp) -> Snapshot {
    let mut snapshot = busy_snapshot(now);
    let mut kafka = snapshot.clusters[0].as_ref().clone();
    kafka.health.up = false;
    kafka.health.last_success = Some(now.minus(Duration::from_secs(200)));
    kafka.health.error = Some("127.0.0.1:9092: connection refused".to_owned());
    snapshot.clusters[0] = Arc::new(kafka);
    snapshot
}

fn topic(name: &str, partitions: i32) -> TopicStatus {
    let partition = |number| PartitionSample {
        partition: Partition(number),
        log_start: Some(Offset(0)),
        high_watermark: Some(Offset(12_000)),
        last_stable: Some(Offset(12_000)),
        replicas: 1,
        in_sync_replicas: 1,
    };
    TopicStatus {
        topic: name.into(),
        topic_id: Some(Uuid::nil()),
        internal: false,
        partitions: (0..partitions).map(partition).collect(),
        produce_rate: Some(12.3),
        produced_total: 5_000,
    }
}

fn group(name: &str, verdict: GroupVerdict, lag: u64, members: usize) -> GroupStatus {
    let partition = |number: i32| GroupPartitionStatus {
        partition: Partition(number),
        committed: Offset(11_000),
        log_start: Some(Offset(0)),
        log_end: Some(Offset(12_000)),
        lag: Some(lag / 3),
        time_lag: Some(TimeLag::Exactly(Duration::from_secs(lag / 10))),
        retention_headroom: Some(0.92),
    };
    let member = |number: usize| GroupMember {
        member_id: format!("{name}-1-{}", Uuid::from_u128(number as u128 + 7)),
        client_id: format!("{name}-{number}"),
        host: "/10.0.0.7".to_owned(),
        assignment: vec![(
            "orders".into(),
            vec![Partition(i32::try_from(number).unwrap())],
        )],
    };
    GroupStatus {
        group: name.into(),
        kind: GroupKind::Classic,
        state: if members > 0 { "Stable" } else { "Empty" }.to_owned(),
        members: (0..members).map(member).collect(),
        verdict,
        topics: vec![GroupTopicStatus {
            topic: "orders".into(),
            lag,
            processed_total: 48_211,
            lost_total: 0,
            partitions: (0..3).map(partition).collect(),
        }],
        lag,
        time_lag: Some(TimeLag::Exactly(Duration::from_secs(lag / 10))),
        consume_rate: Some(if members > 0 { 21.4 } else { 0.0 }),
        produce_rate: Some(12.3),
        lost_total: 0,
    }
}

fn queue(name: &str, role: QueueRole, ready: u64, dead_letters_to: &[&str]) -> QueueStatus {
    QueueStatus {
        sample: QueueSample {
            dead_letter: (role != QueueRole::Dlq).then(|| DeadLetterTarget {
                exchange: "events.dlx".into(),
                routing_key: Some("orders.dead".to_owned()),
            }),
            message_ttl: (role == QueueRole::Retry).then(|| Duration::from_secs(2)),
            messages: Some(ready + 3),
            ready: Some(ready),
            unacked: Some(3),
            bytes: Some(ready * 512),
            consumers: Some(u64::from(role == QueueRole::Work)),
            ..QueueSample::classic("/".into(), name.into())
        },
        role,
        dead_letters_to: dead_letters_to.iter().map(|name| (*name).into()).collect(),
        dead_letters_unroutable: name == "audit.fanout",
        circling: (name == "payments.queue").then(|| Circling {
            since: ago(720),
            delivered: 341,
            through: vec!["payments.retry".into()],
        }),
        rates: QueueRates {
            publish: Some(4.2),
            settle: Some(if name == "payments.queue" { 0.0 } else { 4.1 }),
            redeliver: Some(0.0),
        },
        totals: QueueCounters::default(),
    }
}
