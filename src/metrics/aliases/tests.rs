use std::sync::Arc;
use std::time::Duration;

use crate::config::{Alias, Config};
use crate::domain::{
    BrokerHealth, ClusterDetail, ClusterSnapshot, GroupKind, GroupPartitionStatus, GroupStatus,
    GroupTopicStatus, GroupVerdict, KafkaDetail, Snapshot, System, Timestamp,
};
use crate::domain::{
    DeadLetteredCounter, GroupMember, Offset, Partition, PartitionSample, QueueCounters,
    QueueRates, QueueRole, QueueSample, QueueStatus, RabbitMqDetail, TimeLag, TopicStatus,
};
use crate::metrics::{Format, Metrics};

fn text(configuration: &str) -> String {
    let config = Config::parse(configuration, []).unwrap();
    let metrics = Metrics::configured(&config.metrics, Duration::from_secs(10));
    let now = Timestamp::now();
    let cluster = |name: &str, system, detail| {
        let health = BrokerHealth {
            up: true,
            last_success: Some(now),
            ..BrokerHealth::default()
        };
        Arc::new(ClusterSnapshot {
            name: name.into(),
            system,
            health,
            detail: Some(detail),
        })
    };
    metrics.observe_snapshot(&Snapshot {
        taken_at: now,
        clusters: vec![
            cluster("k", System::Kafka, ClusterDetail::Kafka(kafka())),
            cluster("r", System::RabbitMq, ClusterDetail::RabbitMq(rabbitmq())),
        ],
    });
    let text = metrics.render(Format::Text);
    String::from_utf8(text.to_vec()).unwrap()
}

fn kafka() -> KafkaDetail {
    let partition = |number, lag| GroupPartitionStatus {
        partition: Partition(number),
        committed: Offset(100),
        log_start: Some(Offset(50)),
        log_end: Some(Offset(140)),
        lag: Some(lag),
        time_lag: Some(TimeLag::Exactly(Duration::from_secs(lag))),
        retention_headroom: Some(0.5),
    };
    let member = GroupMember {
        member_id: "m-1".to_owned(),
        client_id: "app".to_owned(),
        host: "/10.0.0.7".to_owned(),
        assignment: vec![("orders".into(), vec![Partition(0)])],
    };
    KafkaDetail {
        topics: vec![orders()],
        groups: vec![GroupStatus {
            group: "payments".into(),
            kind: GroupKind::Classic,
            state: "Stable".to_owned(),
            members: vec![member],
            verdict: GroupVerdict::Ok,
            topics: vec![GroupTopicStatus {
                topic: "orders".into(),
                lag: 42,
                processed_total: 0,
                lost_total: 0,
                partitions: vec![partition(0, 40), partition(1, 2)],
            }],
            lag: 42,
            time_lag: Some(TimeLag::Exactly(Duration::from_secs(40))),
            consume_rate: None,
            produce_rate: None,
            lost_total: 0,
        }],
    }
}

fn orders() -> TopicStatus {
    TopicStatus {
        topic: "orders".into(),
        topic_id: None,
        internal: false,
        partitions: vec![PartitionSample {
            partition: Partition(0),
            log_start: Some(Offset(50)),
            high_watermark: Some(Offset(140)),
            last_stable: Some(Offset(140)),
            replicas: 3,
            in_sync_replicas: 2,
        }],
        produce_rate: None,
        produced_total: 0,
    }
}

fn rabbitmq() -> RabbitMqDetail {
    let sample = QueueSample {
        messages: Some(5),
        ready: Some(3),
        unacked: Some(2),
        consumers: Some(1),
        ..QueueSample::classic("/".into(), "q".into())
    };
    RabbitMqDetail {
        queues: vec![QueueStatus {
            sample,
            role: QueueRole::Work,
            dead_letters_to: Vec::new(),
            dead_letters_unroutable: false,
            circling: None,
            rates: QueueRates::default(),
            totals: QueueCounters::default(),
        }],
        dead_lettered: vec![DeadLetteredCounter {
            queue_type: "rabbit_classic_queue".to_owned(),
            strategy: "disabled".to_owned(),
            reason: "rejected".to_owned(),
            count: 9,
        }],
        ..RabbitMqDetail::default()
    }
}

const EVERY_ALIAS: &str =
    "[metrics]\naliases = ['rabbitmq', 'kafka_exporter', 'kafka_lag_exporter']\n";

/// One line of each family, as the exporter itself would name and label it, apart from the cluster.
const SERIES: [&str; 16] = [
    "rabbitmq_queue_messages{cluster=\"r\",vhost=\"/\",queue=\"q\"} 5\n",
    "rabbitmq_queue_messages_unacked{cluster=\"r\",vhost=\"/\",queue=\"q\"} 2\n",
    "rabbitmq_queue_consumers{cluster=\"r\",vhost=\"/\",queue=\"q\"} 1\n",
    "rabbitmq_global_messages_dead_lettered_rejected_total{cluster=\"r\",queue_type=\"rabbit_classic_queue\",dead_letter_strategy=\"disabled\"} 9\n",
    "kafka_topic_partitions{cluster=\"k\",topic=\"orders\"} 1\n",
    "kafka_topic_partition_current_offset{cluster=\"k\",topic=\"orders\",partition=\"0\"} 140\n",
    "kafka_topic_partition_under_replicated_partition{cluster=\"k\",topic=\"orders\",partition=\"0\"} 1\n",
    "kafka_consumergroup_members{cluster=\"k\",consumergroup=\"payments\"} 1\n",
    "kafka_consumergroup_lag{cluster=\"k\",consumergroup=\"payments\",topic=\"orders\",partition=\"1\"} 2\n",
    "kafka_consumergroup_lag_sum{cluster=\"k\",consumergroup=\"payments\",topic=\"orders\"} 42\n",
    "kafka_consumergroup_current_offset_sum{cluster=\"k\",consumergroup=\"payments\",topic=\"orders\"} 200\n",
    "kafka_partition_latest_offset{cluster_name=\"k\",topic=\"orders\",partition=\"0\"} 140\n",
    "kafka_consumergroup_group_max_lag{cluster_name=\"k\",group=\"payments\"} 40\n",
    "kafka_consumergroup_group_topic_sum_lag{cluster_name=\"k\",group=\"payments\",topic=\"orders\"} 42\n",
    "kafka_consumergroup_group_lag{cluster_name=\"k\",group=\"payments\",topic=\"orders\",partition=\"0\",member_host=\"/10.0.0.7\",consumer_id=\"m-1\",client_id=\"app\"} 40\n",
    "kafka_consumergroup_group_lag_seconds{cluster_name=\"k\",group=\"payments\",topic=\"orders\",partition=\"1\",member_host=\"\",consumer_id=\"\",client_id=\"\"} 2\n",
];

#[test]
fn other_exporters_names_are_exported_when_they_are_asked_for() {
    let (without, with) = (text(""), text(EVERY_ALIAS));
    for series in SERIES {
        let is_in = |text: &str| text.lines().any(|line| line == series.trim_end());
        assert!(!is_in(&without), "{series}");
        assert!(is_in(&with), "{series} is not in\n{with}");
    }
}

#[test]
fn what_is_exported_of_a_group_is_so_under_every_name() {
    let configuration = |detail: &str| {
        format!("{EVERY_ALIAS}[[metrics.groups]]\npattern = '*'\nseries = '{detail}'")
    };
    let topic = text(&configuration("topic"));
    assert!(topic.contains("kafka_consumergroup_group_topic_sum_lag{"));
    assert!(topic.contains("kafka_consumergroup_lag_sum{"));
    for gone in ["kafka_consumergroup_group_lag{", "kafka_consumergroup_lag{"] {
        assert!(!topic.contains(gone), "{gone}");
    }
    assert!(!text(&configuration("none")).contains("payments"));
}

#[test]
fn an_alias_that_is_named_twice_is_exported_once() {
    let config = Config::parse("[metrics]\naliases = ['rabbitmq', 'rabbitmq']", []).unwrap();
    let metrics = Metrics::configured(&config.metrics, Duration::from_secs(10));
    assert_eq!(metrics.aliases, [Alias::RabbitMq]);
}
