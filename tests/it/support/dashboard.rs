//! A dashboard over a real store in a folder of its own and a snapshot made by hand.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redrive::alerts::{self, AlertBoard};
use redrive::config::{Config, QueueConfig, QueueCustody};
use redrive::dead_letters::{
    BulkActions, IntakeBoard, IntakeContext, ManagedQueues, Observer, Repairs,
};
use redrive::domain::*;
use redrive::metrics::Metrics;
use redrive::replay::{self, ReplayTask};
use redrive::sampling::{self, SamplingHandle};
use redrive::sandbox::Sandbox;
use redrive::schemas::Schemas;
use redrive::store::{
    Gap, GapKind, KafkaCursor, NewAuditEntry, NewReplay, NewReplayJob, NewRevision, Store,
};
use redrive::traces::{ExportBoard, TapBoard};
use redrive::web::{self, AppState};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::eventually;
use super::past::live_through;
use super::replays::{StoreInFolder, new_store};

/// A served dashboard; it stops when it is dropped.
pub(crate) struct Dashboard {
    pub(crate) address: String,
    pub(crate) state: AppState,
    _folder: TempDir,
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.state.stop.cancel();
    }
}

impl Dashboard {
    /// Serves what `fill` puts into an empty store.
    pub(crate) async fn serve(snapshot: Snapshot, config: Config) -> Self {
        let metrics = Arc::new(Metrics::new(Duration::from_secs(10)));
        metrics.observe_snapshot(&snapshot);
        let sampling = SamplingHandle::still(snapshot);
        let stop = CancellationToken::new();
        // The tasks that would send are left out: a replay stays planned.
        let sampled = (sampling, metrics);
        Self::start(config, new_store().await, sampled, (stop, drop)).await
    }

    /// Serves a store over real brokers, which are sampled and to which replays are sent.
    pub(crate) async fn live(config: Config, fixture: StoreInFolder) -> Self {
        let stop = CancellationToken::new();
        let metrics = Arc::new(Metrics::new(Duration::from_secs(1)));
        let sampling = sampling::start(&config, Arc::clone(&metrics), &stop, |task| {
            tokio::spawn(task);
        });
        let send = |task| {
            tokio::spawn(task);
        };
        let sampled = (sampling, metrics);
        let dashboard = Self::start(config, fixture, sampled, (stop, send)).await;
        eventually("every broker was sampled", async || {
            let snapshot = dashboard.state.sampling.snapshot();
            let mut clusters = snapshot.clusters.iter();
            clusters
                .all(|cluster| cluster.detail.is_some())
                .then_some(())
        })
        .await;
        dashboard
    }

    async fn start(
        config: Config,
        fixture: StoreInFolder,
        (sampling, metrics): (SamplingHandle, Arc<Metrics>),
        (stop, send): (CancellationToken, impl FnMut(ReplayTask)),
    ) -> Self {
        let StoreInFolder { store, folder } = fixture;
        let config = Arc::new(config);
        let snapshots = sampling.subscribe();
        let schemas = Schemas::load(&config.schemas, &sandbox()).await.unwrap();
        let gate = Some(schemas.clone());
        let replay =
            replay::start(&config, &store, &metrics, snapshots, &stop, gate, send).unwrap();
        let intake = IntakeContext {
            config: Arc::clone(&config),
            store: store.clone(),
            metrics: Arc::clone(&metrics),
            snapshots: sampling.subscribe(),
            board: IntakeBoard::default(),
            managed: ManagedQueues::default(),
            stop: stop.clone(),
        };
        let bulk_actions = BulkActions::new(store.clone());
        tokio::spawn(bulk_actions.clone().run(stop.clone()));
        let repairs = Repairs::new(store.clone(), sandbox());
        tokio::spawn(repairs.clone().run(stop.clone()));
        let alerts = AlertBoard::default();
        let follow = alerts::follow(config.prometheus.clone(), alerts.clone(), stop.clone());
        tokio::spawn(follow);
        let state = AppState {
            config,
            store,
            sampling,
            metrics,
            replay,
            intake: intake.board.clone(),
            observer: Observer::new(intake),
            bulk_actions,
            schemas,
            repairs,
            alerts,
            trace_export: ExportBoard::default(),
            taps: TapBoard::default(),
            stop,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let stop = state.stop.clone();
        tokio::spawn(web::serve(state.clone(), listener, stop));
        Self {
            address,
            state,
            _folder: folder,
        }
    }

    /// A dashboard as it looks on a busy day: both brokers, failures, edits, replays in every state.
    pub(crate) async fn busy() -> Self {
        let dashboard = Self::serve(
            busy_snapshot(Timestamp::now()),
            Config::parse(super::traced::EXPORT, []).unwrap(),
        )
        .await;
        super::traced::export(&dashboard.state.trace_export);
        live_through(&dashboard.state.sampling, Timestamp::now());
        fill(&dashboard.state.store).await;
        super::traced::follow(&dashboard.state.taps);
        dashboard
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }
}

/// Children of the test are the program that is tested.
pub(crate) fn sandbox() -> Sandbox {
    Sandbox::of(env!("CARGO_BIN_EXE_redrive"))
}

fn ago(seconds: u64) -> Timestamp {
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

/// What a new dead letter of a test is made of.
pub(crate) struct Letter<'a> {
    pub(crate) offset: i64,
    pub(crate) event_type: &'a str,
    pub(crate) class: &'a str,
    pub(crate) message: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) age: u64,
}

pub(crate) fn kafka_letter(letter: &Letter<'_>) -> NewDeadLetter {
    let position = Position::Kafka {
        topic: "orders.dlq".into(),
        topic_id: Some(Uuid::nil()),
        partition: Partition(0),
        offset: Offset(letter.offset),
    };
    new_letter("kafka", position, letter)
}

pub(crate) fn queue_letter(letter: &Letter<'_>) -> NewDeadLetter {
    let position = Position::RabbitMq {
        vhost: "/".into(),
        queue: "orders.dlq".into(),
        fingerprint: format!("{:064x}", letter.offset),
    };
    let mut new = new_letter("rabbitmq", position, letter);
    new.custody = Custody::Store;
    new.message.properties = Some(Box::new(AmqpProperties {
        exchange: "events.dlx".to_owned(),
        routing_key: "orders.dead".to_owned(),
        content_type: Some("application/json".to_owned()),
        delivery_mode: Some(2),
        message_id: Some(Uuid::from_u128(letter.offset.unsigned_abs().into()).to_string()),
        ..AmqpProperties::default()
    }));
    let death = AmqpValue::Table(vec![
        ("queue".to_owned(), AmqpValue::long_string("orders.queue")),
        ("reason".to_owned(), AmqpValue::long_string("rejected")),
        ("count".to_owned(), AmqpValue::I64(1)),
        ("exchange".to_owned(), AmqpValue::long_string("events")),
        (
            "routing-keys".to_owned(),
            AmqpValue::Array(vec![AmqpValue::long_string("order.created")]),
        ),
        ("time".to_owned(), AmqpValue::Timestamp(1_795_484_400)),
    ]);
    new.message.headers = vec![
        Header::amqp("x-death", AmqpValue::Array(vec![death])),
        Header::amqp("x-retry-count", AmqpValue::I32(3)),
        Header::amqp(
            "correlationId",
            AmqpValue::long_string("9f0c2a41-55aa-4c1e-8f00-1234567890ab"),
        ),
    ];
    new.decoded.reason = DeathReason::Rejected;
    new.decoded.origin.destination = Some("orders.queue".to_owned());
    new
}

fn new_letter(cluster: &str, position: Position, letter: &Letter<'_>) -> NewDeadLetter {
    let failure = Failure {
        class: Some(letter.class.to_owned()),
        wrapper_class: Some("ListenerExecutionFailedException".to_owned()),
        message: Some(letter.message.to_owned()),
        stack_trace: Some(format!(
            "{}: {}\n\tat com.acme.payments.Gateway.charge(Gateway.java:87)\n\tat com.acme.payments.PaymentConsumer.onOrder(PaymentConsumer.java:41)\n\tat org.springframework.kafka.listener.KafkaMessageListenerContainer.run(KafkaMessageListenerContainer.java:1312)\n\tat java.base/java.lang.Thread.run(Thread.java:1583)\nCaused by: java.net.SocketTimeoutException: Read timed out\n\t... 12 more",
            letter.class, letter.message
        )),
        ..Failure::default()
    };
    let origin = Origin {
        destination: Some("orders".to_owned()),
        partition: Some(Partition(1)),
        offset: Some(Offset(4_711 + letter.offset)),
        consumer: Some("payment-consumers".into()),
        ..Origin::default()
    };
    let hop = Hop {
        dialect: "x-error".to_owned(),
        origin: origin.clone(),
        failure: failure.clone(),
        reason: DeathReason::Exception,
        attempts: Some((3, AttemptsKind::Deliveries)),
        last_failed_at: Some(ago(letter.age)),
        ..Hop::default()
    };
    NewDeadLetter {
        cluster: cluster.into(),
        position,
        message: Message {
            key: Some(Bytes::from_static(b"order-1042")),
            body: Some(Bytes::copy_from_slice(letter.body)),
            headers: vec![
                Header::text("eventId", "0197f3a2-1111-7abc-8def-0123456789ab"),
                Header::text("eventType", letter.event_type),
                Header::text("correlationId", "9f0c2a41-55aa-4c1e-8f00-1234567890ab"),
                Header::text("x-error-class", letter.class),
                Header::text("x-error-message", letter.message),
                Header::text("x-original-topic", "orders"),
                Header {
                    name: Bytes::from_static(b"trace"),
                    value: HeaderValue::Null,
                },
            ],
            properties: None,
        },
        body_omitted: None,
        dead_at: ago(letter.age),
        decoded: Decoded {
            origin,
            failure,
            reason: DeathReason::Exception,
            attempts: Some((3, AttemptsKind::Deliveries)),
            last_failed_at: Some(ago(letter.age)),
            hops: vec![hop],
            ..Decoded::default()
        },
        event: EventIdentity {
            event_id: Some(format!("0197f3a2-1111-7abc-8def-{:012x}", letter.offset)),
            event_type: Some(letter.event_type.to_owned()),
            correlation_id: Some("9f0c2a41-55aa-4c1e-8f00-1234567890ab".to_owned()),
            causation_id: None,
            aggregate_id: Some("order-1042".to_owned()),
        },
        classification: Classification {
            group: format!(
                "v1:{:016x}",
                letter.class.len() * 31 + usize::from(letter.class.as_bytes()[0])
            )
            .into(),
            title: format!("{}: {}", letter.class, letter.message),
            explanation: "grouped by exception class and message".to_owned(),
        },
        custody: Custody::Broker,
        replay_id: None,
        redelivered: false,
    }
}

const ORDER: &[u8] = br#"{"eventId":"0197f3a2-1111-7abc-8def-0123456789ab","eventType":"OrderCreated","timestamp":"2026-11-24T02:14:07.112Z","aggregateId":"order-1042","version":1,"correlationId":"9f0c2a41-55aa-4c1e-8f00-1234567890ab","causationId":null,"data":{"customerId":"cust-17","items":[{"sku":"A-100","quantity":2,"price":19.90},{"sku":"B-7","quantity":1,"price":5.00}],"totalAmount":44.80},"metadata":{"source":"shop","schema":3}}"#;

/// Failures of several kinds, an edit, replays in every state, an audit, a gap.
pub(crate) async fn fill(store: &Store) {
    let now = Timestamp::now();
    super::traced::fill(store, now).await;
    let mut batch = Vec::new();
    for offset in 0..40 {
        let letter = match offset % 5 {
            0 | 1 => Letter {
                offset,
                event_type: "OrderCreated",
                class: "PaymentGatewayTimeout",
                message: "gateway did not answer within 2000 ms",
                body: ORDER,
                age: 60 + 600 * offset.unsigned_abs(),
            },
            2 => Letter {
                offset,
                event_type: "OrderCreated",
                class: "MissingField",
                message: "data.customerId is required",
                body: br#"{"eventType":"OrderCreated","data":{"items":[],"totalAmount":44.80}}"#,
                age: 3_000 + 60 * offset.unsigned_abs(),
            },
            3 => Letter {
                offset,
                event_type: "PaymentAuthorised",
                class: "MalformedJson",
                message: "expected `,` or `}` at line 1 column 31",
                body: br#"{"eventType":"PaymentAuthorised"  "data":{}}"#,
                age: 90_000,
            },
            _ => Letter {
                offset,
                event_type: "OrderCreated",
                class: "DuplicateEvent",
                message: "event was handled before",
                body: b"\x00\x01\xfe\xffbinary",
                age: 1_000,
            },
        };
        batch.push(kafka_letter(&letter));
    }
    let cursor = KafkaCursor {
        topic: "orders.dlq".into(),
        topic_id: Some(Uuid::nil()),
        partition: Partition(0),
        next_offset: Offset(40),
    };
    let gap = Gap {
        topic: "orders.dlq".into(),
        partition: Partition(2),
        from: Offset(10),
        to: Offset(25),
        kind: GapKind::Retention,
    };
    store
        .index_kafka_batch(&"kafka".into(), &batch, &[cursor], &[gap], now)
        .await
        .unwrap();
    let rabbit: Vec<_> = (1..=6)
        .map(|n| {
            queue_letter(&Letter {
                offset: n,
                event_type: "OrderCreated",
                class: "rejected",
                message: "orders.queue",
                body: ORDER,
                age: 30 * n.unsigned_abs(),
            })
        })
        .collect();
    let session = store.begin_custody().await.unwrap();
    store.take_custody(&session, &rabbit, now).await.unwrap();
    edit(store, DeadLetterId(3), now).await;
    replay_in_every_state(store).await;
}

async fn edit(store: &Store, id: DeadLetterId, at: Timestamp) {
    let mut message = store.message(id, RevisionNumber(0)).await.unwrap();
    message.body = Some(Bytes::from_static(
        br#"{"eventType":"OrderCreated","data":{"customerId":"cust-17","items":[],"totalAmount":44.80}}"#,
    ));
    let revision = NewRevision {
        dead_letter: id,
        builds_on: RevisionNumber(0),
        message,
        author: "anonymous".to_owned(),
        note: Some("add the customer".to_owned()),
        at,
    };
    let entry = audit_entry(
        "revision.create",
        json!({ "dead_letter": id, "builds_on": 0 }),
    );
    store.add_revision(&revision, &entry).await.unwrap();
}

fn audit_entry(action: &str, detail: serde_json::Value) -> NewAuditEntry {
    NewAuditEntry {
        at: Timestamp::now(),
        actor: "anonymous".to_owned(),
        address: "127.0.0.1".to_owned(),
        action: action.to_owned(),
        detail,
    }
}

/// A job with one replay in each state that a page shows.
async fn replay_in_every_state(store: &Store) {
    let destination = Destination::Kafka {
        cluster: "kafka".into(),
        topic: "orders".into(),
        partition: Some(Partition(1)),
    };
    let replays: Vec<_> = (1..=9)
        .map(|letter| NewReplay {
            id: ReplayId(Uuid::now_v7()),
            dead_letter: DeadLetterId(letter),
            revision: RevisionNumber(u32::from(letter == 3)),
            destination: destination.clone(),
        })
        .collect();
    let job = NewReplayJob {
        id: ReplayJobId(Uuid::now_v7()),
        created_at: ago(90),
        created_by: "anonymous".to_owned(),
        selection: "source:orders error:Timeout".to_owned(),
        replays,
    };
    let entry = audit_entry(
        "replay.create",
        json!({ "job": job.id, "dead_letters": [1, 2, 3] }),
    );
    let planned = store.create_job(&job, &entry).await.unwrap().planned;
    let landing = Landing {
        partition: Partition(1),
        offset: Offset(12_001),
    };
    let sending = ReplayEvent::Sending {
        at: ago(80),
        high_watermark: Some(landing),
    };
    let sent = ReplayEvent::Confirmed {
        at: ago(79),
        landing: Some(landing),
    };
    let passed = ReplayEvent::PassedBy(PassedBy {
        group: "payment-consumers".into(),
        at: ago(60),
    });
    let paths: [&[ReplayEvent]; 9] = [
        &[
            sending.clone(),
            sent.clone(),
            passed.clone(),
            ReplayEvent::Settled { at: ago(30) },
        ],
        &[
            sending.clone(),
            sent.clone(),
            passed.clone(),
            ReplayEvent::Settled { at: ago(28) },
        ],
        &[sending.clone(), sent.clone(), passed],
        &[sending.clone(), sent.clone()],
        &[
            sending.clone(),
            sent.clone(),
            ReplayEvent::SeenInDlq {
                at: ago(40),
                dead_letter: DeadLetterId(12),
            },
        ],
        &[sending.clone(), sent, ReplayEvent::Silence { at: ago(10) }],
        &[
            sending.clone(),
            ReplayEvent::Refused {
                at: ago(70),
                reason: "the topic orders has no leader for partition 1".to_owned(),
            },
        ],
        &[
            sending,
            ReplayEvent::Unprovable {
                at: ago(50),
                reason: "the process ended while it was being sent".to_owned(),
            },
        ],
        &[],
    ];
    for (id, path) in planned.into_iter().zip(paths) {
        for event in path {
            store
                .advance_replay(id, event.clone(), ago(20))
                .await
                .unwrap();
        }
    }
}

/// A configuration in which `orders.dlq` is managed.
pub(crate) fn managed_config() -> Config {
    let mut config = Config::parse("", []).unwrap();
    config.rabbitmq[0].queues.push(QueueConfig {
        vhost: "/".into(),
        name: "orders.dlq".into(),
        role: None,
        custody: Some(QueueCustody::Managed),
    });
    config
}
