use super::*;
use crate::domain::{
    BrokerHealth, DeathReason, GroupKind, GroupStatus, GroupTopicStatus, GroupVerdict, KafkaDetail,
    ReplayStateName,
};

const INTERVAL: Duration = Duration::from_secs(10);

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.render().to_vec()).unwrap()
}

fn group(name: &str, topics: &[&str]) -> GroupStatus {
    let topic = |topic: &&str| GroupTopicStatus {
        topic: (*topic).into(),
        lag: 7,
        processed_total: 40,
        lost_total: 0,
        partitions: Vec::new(),
    };
    GroupStatus {
        group: name.into(),
        kind: GroupKind::Classic,
        state: "A state of the future".to_owned(),
        members: Vec::new(),
        verdict: GroupVerdict::Stalled,
        topics: topics.iter().map(topic).collect(),
        lag: 7,
        time_lag: None,
        consume_rate: None,
        produce_rate: None,
        lost_total: 0,
    }
}

/// A cluster whose numbers were read at second 100, as seen at another time.
fn snapshot(now: i64, groups: Vec<GroupStatus>) -> Snapshot {
    let detail = KafkaDetail {
        topics: Vec::new(),
        groups,
    };
    let health = BrokerHealth {
        up: now == 100,
        last_success: Some(Timestamp::from_seconds(100)),
        ..BrokerHealth::default()
    };
    Snapshot {
        taken_at: Timestamp::from_seconds(now),
        clusters: vec![Arc::new(ClusterSnapshot {
            name: "k".into(),
            system: System::Kafka,
            health,
            detail: Some(ClusterDetail::Kafka(detail)),
        })],
    }
}

#[test]
fn numbers_older_than_three_intervals_are_no_longer_published() {
    let metrics = Metrics::new(INTERVAL);
    let lag = "kafka_consumer_group_topic_lag{cluster=\"k\",group=\"g\",topic=\"t\"} 7\n";
    for (now, up, published) in [(100, 1, true), (130, 0, true), (131, 0, false)] {
        metrics.observe_snapshot(&snapshot(now, vec![group("g", &["t"])]));
        let text = text(&metrics);
        assert_eq!(text.contains(lag), published, "at {now}");
        let health = format!("redrive_broker_up{{cluster=\"k\",system=\"kafka\"}} {up}\n");
        assert!(text.contains(&health), "{text}");
        assert!(text.contains(
            "redrive_sample_last_success_timestamp_seconds{cluster=\"k\",system=\"kafka\"} 100\n"
        ));
    }
}

#[test]
fn what_vanished_has_no_series_any_more() {
    let metrics = Metrics::new(INTERVAL);
    let durations = [(INTERVAL, 3)];
    for topic in ["t", "u"] {
        metrics.publish_to_commit(&"k".into(), &"g".into(), &topic.into(), &durations);
    }
    let both = vec![group("g", &["t", "u"]), group("h", &["t"])];
    metrics.observe_snapshot(&snapshot(100, both));
    let before = text(&metrics);
    metrics.observe_snapshot(&snapshot(100, vec![group("g", &["t"])]));
    let after = text(&metrics);
    for series in [
        "kafka_consumer_group_members{cluster=\"k\",group=\"h\"}",
        "kafka_consumer_group_topic_lag{cluster=\"k\",group=\"g\",topic=\"u\"}",
        "event_processing_duration_seconds_count{cluster=\"k\",system=\"kafka\",source=\"u\",consumer=\"g\",basis=\"publish_to_commit\"}",
    ] {
        assert!(before.contains(series), "{series}");
        assert!(!after.contains(series), "{series}");
    }
    assert!(after.contains("source=\"t\",consumer=\"g\",basis=\"publish_to_commit\"} 3\n"));
}

#[test]
fn state_sets_have_one_true_state_and_no_new_words() {
    let metrics = Metrics::new(INTERVAL);
    metrics.observe_snapshot(&snapshot(100, vec![group("g", &[])]));
    let text = text(&metrics);
    let labels = "cluster=\"k\",group=\"g\"";
    let stalled = format!("kafka_consumer_group_status{{{labels},status=\"stalled\"}} 1\n");
    let other = format!("kafka_consumer_group_state{{{labels},state=\"Other\"}} 1\n");
    assert!(text.contains(&stalled) && text.contains(&other), "{text}");
    let ones = |metric: &str| {
        let lines = text.lines().filter(|line| line.starts_with(metric));
        lines.filter(|line| line.ends_with(" 1")).count()
    };
    assert_eq!(ones("kafka_consumer_group_status"), 1);
    assert_eq!(ones("kafka_consumer_group_state"), 1);
}

#[test]
fn outcomes_of_replays_exist_at_zero_before_the_first_replay() {
    let metrics = Metrics::new(INTERVAL);
    let (cluster, dlq) = ("k".into(), "orders.dlq");
    let line = |outcome: &str, value: u64| {
        format!(
            "dlq_replayed_total{{cluster=\"k\",dlq=\"{dlq}\",outcome=\"{outcome}\",\
             system=\"kafka\"}} {value}\n"
        )
    };
    metrics.dlq_backlog_read(&cluster, System::Kafka, dlq);
    assert!(text(&metrics).contains(&line("died_again", 0)));
    metrics.replay_outcome(&cluster, System::Kafka, dlq, ReplayStateName::DiedAgain);
    assert!(text(&metrics).contains(&line("died_again", 1)));
    assert!(text(&metrics).contains(&line("consumed", 0)));
}

#[test]
fn a_dlq_that_was_emptied_has_no_oldest_message_and_one_that_is_gone_has_nothing() {
    let metrics = Metrics::new(INTERVAL);
    let (cluster, dlq) = ("k".into(), "orders.dlq");
    metrics.set_dlq_depth(&cluster, System::Kafka, dlq, 3, Some(INTERVAL));
    assert!(text(&metrics).contains(
        "dlq_oldest_message_age_seconds{cluster=\"k\",dlq=\"orders.dlq\",system=\"kafka\"} 10\n"
    ));
    metrics.set_dlq_depth(&cluster, System::Kafka, dlq, 0, None);
    assert!(!text(&metrics).contains("dlq_oldest_message_age_seconds{"));
    let empty = "dlq_depth{cluster=\"k\",dlq=\"orders.dlq\",system=\"kafka\"} 0\n";
    assert!(text(&metrics).contains(empty));
    metrics.dlq_backlog_read(&cluster, System::Kafka, dlq);
    metrics.dead_letter_seen(
        &cluster,
        System::Kafka,
        "orders",
        dlq,
        DeathReason::Exception,
    );
    metrics.forget_dlq(&cluster, System::Kafka, dlq);
    assert!(!text(&metrics).contains("orders.dlq"));
}
