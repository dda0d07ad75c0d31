//! A dashboard's `/metrics` without a dashboard: real metrics of clusters that are made up and move on
//! with every scrape.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use redrive::config::Config;
use redrive::domain::{
    BrokerHealth, Circling, ClusterDetail, ClusterName, ClusterSnapshot, DeadLetteredCounter,
    DeathReason, GroupKind, GroupPartitionStatus, GroupStatus, GroupTopicStatus, GroupVerdict,
    KafkaDetail, Offset, Partition, PartitionSample, QueueCounters, QueueRates, QueueRole,
    QueueSample, QueueStatus, RabbitMqDetail, ReplayStateName, SampleCost, Snapshot, System,
    TimeLag, Timestamp, TopicStatus,
};
use redrive::metrics::{ExportOutcome, Format, Metrics, SamplePhase};
use redrive::web::answer_scrape;

/// Metrics that have seen everything once.
pub(crate) struct MovingMetrics {
    metrics: Arc<Metrics>,
    ticks: AtomicU64,
    turn: Mutex<()>,
    /// Content type and coding of the last answer.
    answered: Mutex<(String, String)>,
}

impl MovingMetrics {
    pub(crate) fn new() -> Self {
        Self::configured("")
    }

    /// With the configuration of `redrive.toml`.
    pub(crate) fn configured(configuration: &str) -> Self {
        let config = Config::parse(configuration, []).expect("a valid configuration");
        let moving = Self {
            metrics: Arc::new(Metrics::configured(
                &config.metrics,
                Duration::from_secs(10),
            )),
            ticks: AtomicU64::new(0),
            turn: Mutex::new(()),
            answered: Mutex::default(),
        };
        let (kafka, rabbitmq) = (ClusterName::new("k"), ClusterName::new("r"));
        let died = DeathReason::Exception;
        moving.metrics.dead_letters_stored(
            (&kafka, System::Kafka, "orders.dlq"),
            "orders",
            died,
            5,
        );
        let died = DeathReason::Rejected;
        let dlq = (&rabbitmq, System::RabbitMq, "orders.dead");
        moving
            .metrics
            .dead_letters_stored(dlq, "orders.queue", died, 5);
        for (cluster, system, dlq) in [(&kafka, System::Kafka, "orders.dlq"), dlq] {
            moving.metrics.dlq_backlog_read(cluster, system, dlq);
        }
        moving.advance();
        moving
    }

    /// One sampling interval later.
    pub(crate) fn advance(&self) {
        let _turn = self.turn.lock();
        let tick = self.ticks.fetch_add(1, Ordering::Relaxed) + 1;
        let metrics = &self.metrics;
        let (kafka, rabbitmq) = (ClusterName::new("k"), ClusterName::new("r"));
        let age = Some(Duration::from_hours(25));
        metrics.set_dlq_depth(&kafka, System::Kafka, "orders.dlq", tick, age);
        metrics.set_dlq_depth(&rabbitmq, System::RabbitMq, "orders.dead", tick, age);
        metrics.set_expiring_bodies(&kafka, System::Kafka, "orders.dlq", tick);
        let died = DeathReason::Exception;
        metrics.dead_letter_seen(&kafka, System::Kafka, "orders", "orders.dlq", died);
        metrics.failure_group_new(&kafka, System::Kafka, "orders.dlq");
        let died_again = ReplayStateName::DiedAgain;
        metrics.replay_outcome(&kafka, System::Kafka, "orders.dlq", died_again);
        let took = Duration::from_millis(20);
        metrics.http_request("GET", "/consumers", 200, took);
        metrics.store_batch_written(3, took);
        metrics.set_store_size(4096 * tick);
        for (cluster, system) in [(&kafka, System::Kafka), (&rabbitmq, System::RabbitMq)] {
            metrics.sample_phase(cluster, system, SamplePhase::Read, took);
            metrics.sample_phase(cluster, system, SamplePhase::Derive, took);
            let cost = SampleCost {
                requests_by_api: vec![("Metadata".to_owned(), 1)],
                ..SampleCost::default()
            };
            metrics.sample_cost(cluster, system, &cost);
        }
        let durations = [(Duration::from_secs(15), 9), (Duration::from_secs(70), 1)];
        metrics.publish_to_commit(&kafka, &"payments".into(), &"orders".into(), &durations);
        metrics.publish_to_publish((&kafka, System::Kafka), ("orders", "shop"), took);
        metrics.traced(&kafka, 5, 1);
        metrics.trace_spans(ExportOutcome::Sent, 7);
        metrics.observe_snapshot(&snapshot(tick));
    }

    pub(crate) fn text(&self) -> String {
        self.rendered(Format::Text)
    }

    /// Content type and coding of the last answer to a scrape.
    pub(crate) fn answered(&self) -> (String, String) {
        self.answered.lock().expect("no test panicked").clone()
    }

    pub(crate) fn rendered(&self, format: Format) -> String {
        String::from_utf8(self.metrics.render(format).to_vec()).expect("the exposition is text")
    }
}

/// Serves the metrics on a free loopback port until the test ends.
pub(crate) async fn serve(metrics: Arc<MovingMetrics>) -> SocketAddr {
    let router = Router::new()
        .route("/metrics", get(scrape))
        .with_state(metrics);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a loopback port is free");
    let address = listener.local_addr().expect("the listener is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn scrape(State(metrics): State<Arc<MovingMetrics>>, headers: HeaderMap) -> Response {
    metrics.advance();
    let response = answer_scrape(Arc::clone(&metrics.metrics), &headers).await;
    let header = |name| {
        let value = response.headers().get(name);
        value.map_or_else(String::new, |value| {
            value.to_str().expect("text").to_owned()
        })
    };
    let answered = (header("content-type"), header("content-encoding"));
    *metrics.answered.lock().expect("no test panicked") = answered;
    response
}

fn snapshot(tick: u64) -> Snapshot {
    let health = BrokerHealth {
        up: true,
        last_success: Some(Timestamp::now()),
        ..BrokerHealth::default()
    };
    let cluster = |name: &str, system, detail| {
        Arc::new(ClusterSnapshot {
            name: name.into(),
            system,
            health: health.clone(),
            detail: Some(detail),
        })
    };
    Snapshot {
        taken_at: Timestamp::now(),
        clusters: vec![
            cluster("k", System::Kafka, ClusterDetail::Kafka(kafka(tick))),
            cluster(
                "r",
                System::RabbitMq,
                ClusterDetail::RabbitMq(rabbitmq(tick)),
            ),
        ],
    }
}

fn kafka(tick: u64) -> KafkaDetail {
    let committed = Offset(i64::try_from(100 + 10 * tick).expect("a short test"));
    let end = Offset(committed.0 + 40);
    let partition = Partition(0);
    let lagging = GroupPartitionStatus {
        partition,
        committed,
        log_start: Some(Offset(50)),
        log_end: Some(end),
        lag: Some(40),
        time_lag: Some(TimeLag::Exactly(Duration::from_secs(7))),
        retention_headroom: Some(0.75),
    };
    KafkaDetail {
        topics: vec![TopicStatus {
            topic: "orders".into(),
            topic_id: None,
            internal: false,
            partitions: vec![PartitionSample {
                partition,
                log_start: Some(Offset(50)),
                high_watermark: Some(end),
                last_stable: Some(end),
                replicas: 1,
                in_sync_replicas: 1,
            }],
            produce_rate: Some(1.0),
            produced_total: 20 * tick,
        }],
        groups: vec![
            group("payments", tick, lagging.clone()),
            group(HOSTILE, tick, lagging),
        ],
    }
}

/// What somebody may name a group, which must neither end a label nor a line.
pub(crate) const HOSTILE: &str = "a\"} 1\nevil_metric{x=\"\\\u{0}\u{1b}[31m ä";

fn group(name: &str, tick: u64, lagging: GroupPartitionStatus) -> GroupStatus {
    GroupStatus {
        group: name.into(),
        kind: GroupKind::Classic,
        state: "Empty".to_owned(),
        members: Vec::new(),
        verdict: GroupVerdict::Ok,
        topics: vec![GroupTopicStatus {
            topic: "orders".into(),
            lag: 40,
            processed_total: 10 * tick,
            lost_total: tick,
            partitions: vec![lagging],
        }],
        lag: 40,
        time_lag: None,
        consume_rate: Some(1.0),
        produce_rate: Some(1.0),
        lost_total: tick,
    }
}

fn rabbitmq(tick: u64) -> RabbitMqDetail {
    RabbitMqDetail {
        version: "3.10.8".to_owned(),
        queues: vec![
            queue("/", "orders.queue", QueueRole::Work, tick),
            queue("staging", "orders.queue", QueueRole::Work, tick),
            queue("/", "orders.dead", QueueRole::Dlq, tick),
        ],
        exchanges: Vec::new(),
        bindings: Vec::new(),
        dead_lettered: vec![DeadLetteredCounter {
            queue_type: "classic".to_owned(),
            strategy: "disabled".to_owned(),
            reason: "rejected".to_owned(),
            count: tick,
        }],
    }
}

fn queue(vhost: &str, name: &str, role: QueueRole, tick: u64) -> QueueStatus {
    let totals = QueueCounters {
        published: 20 * tick,
        settled: 10 * tick,
        redelivered: tick,
        delivered: 11 * tick,
    };
    QueueStatus {
        sample: QueueSample {
            messages: Some(3),
            ready: Some(2),
            unacked: Some(1),
            bytes: Some(300),
            consumers: Some(1),
            counters: Some(totals),
            ..QueueSample::classic(vhost.into(), name.into())
        },
        role,
        dead_letters_to: Vec::new(),
        dead_letters_unroutable: vhost == "staging",
        circling: (vhost == "staging").then(|| Circling {
            since: Timestamp(0),
            delivered: 11 * tick,
            through: vec!["orders.retry".into()],
        }),
        rates: QueueRates::default(),
        totals,
    }
}
