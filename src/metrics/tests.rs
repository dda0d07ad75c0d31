use super::*;
use crate::config::Config;
use crate::domain::{
    BrokerHealth, DeathReason, GroupKind, GroupMember, GroupPartitionStatus, GroupStatus,
    GroupTopicStatus, GroupVerdict, KafkaDetail, Offset, Partition, ReplayStateName, TimeLag,
};

const INTERVAL: Duration = Duration::from_secs(10);

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.render(Format::Text).to_vec()).unwrap()
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
        members: vec![GroupMember {
            member_id: "m".to_owned(),
            client_id: "c".to_owned(),
            host: "/127.0.0.1".to_owned(),
            assignment: Vec::new(),
        }],
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

/// Two partitions of each topic, one of which says little.
fn with_partitions(mut group: GroupStatus) -> GroupStatus {
    for topic in &mut group.topics {
        let known = GroupPartitionStatus {
            partition: Partition(0),
            committed: Offset(40),
            log_start: Some(Offset(0)),
            log_end: Some(Offset(47)),
            lag: Some(7),
            time_lag: Some(TimeLag::Exactly(Duration::from_secs(3))),
            retention_headroom: Some(0.5),
        };
        let unknown = GroupPartitionStatus {
            partition: Partition(1),
            committed: Offset(2),
            log_start: None,
            log_end: None,
            lag: None,
            time_lag: None,
            retention_headroom: None,
        };
        topic.partitions = vec![known, unknown];
    }
    group
}

fn configured(text: &str) -> Metrics {
    let config = Config::parse(text, []).unwrap();
    Metrics::configured(&config.metrics, INTERVAL)
}

#[test]
fn the_first_pattern_decides_how_much_of_a_group_is_exported() {
    let metrics = configured(
        "[[metrics.groups]]\npattern = 'audit-*'\nseries = 'none'\n\
         [[metrics.groups]]\npattern = 'a*'\nseries = 'topic'",
    );
    let durations = [(INTERVAL * 2, 3)];
    let names = ["audit-7", "accounts", "payments"];
    for name in names {
        metrics.publish_to_commit(&"k".into(), &name.into(), &"t".into(), &durations);
    }
    let mut groups = names.map(|name| with_partitions(group(name, &["t"])));
    let partitions = &mut groups[1].topics[0].partitions;
    let mut worse = partitions[0].clone();
    worse.partition = Partition(2);
    worse.time_lag = Some(TimeLag::AtLeast(Duration::from_mins(1)));
    worse.retention_headroom = Some(0.25);
    partitions.push(worse);
    metrics.observe_snapshot(&snapshot(100, groups.to_vec()));
    let text = text(&metrics);
    assert!(!text.contains("audit-7"), "{text}");
    let labels = "{cluster=\"k\",group=\"accounts\",topic=\"t\"}";
    for line in [
        format!("kafka_consumer_group_lag{labels} 14\n"),
        format!("kafka_consumer_group_offset{labels} 82\n"),
        format!("kafka_consumer_group_lag_seconds{labels} 60\n"),
        format!("kafka_consumer_group_retention_headroom_ratio{labels} 0.25\n"),
        format!("kafka_consumer_group_topic_lag{labels} 7\n"),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    let partition = "{cluster=\"k\",group=\"payments\",topic=\"t\",partition=\"1\"}";
    assert!(text.contains(&format!("kafka_consumer_group_offset{partition} 2\n")));
    assert!(!text.contains(&format!("kafka_consumer_group_lag{partition}")));
    assert_eq!(text.matches("kafka_consumer_group_lag{").count(), 2);
}

#[test]
fn beyond_the_limit_series_of_partitions_go_first_and_are_counted() {
    let metrics = configured("[metrics]\nseries_limit = 1000");
    let topics: Vec<String> = (0..300).map(|number| format!("t{number}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let everything = vec![with_partitions(group("g", &topics))];
    metrics.observe_snapshot(&snapshot(100, everything.clone()));
    let cost = metrics.encoding_cost(&"k".into()).unwrap();
    assert_eq!(cost.series, 1000);
    let text = text(&metrics);
    let exported = text.lines().filter(|line| line.contains("cluster=\"k\""));
    let sampling = exported
        .clone()
        .filter(|line| line.contains("redrive_sample_"));
    assert_eq!(exported.count() - sampling.count() + 1, 1000);
    assert_eq!(text.matches("kafka_consumer_group_topic_lag{").count(), 300);
    // Members, 9 states, 7 verdicts, up and its time; lag, lost and processed of each topic; then what fits of
    // 5 series a topic.
    let dropped = 300 * 5 - (1000 - 19 - 300 * 3);
    let line = format!("redrive_series_dropped_total{{reason=\"limit\"}} {dropped}\n");
    assert!(text.contains(&line), "{text}");
    metrics.observe_snapshot(&snapshot(100, everything));
    let again = String::from_utf8(metrics.render(Format::Text).to_vec()).unwrap();
    let line = format!(
        "redrive_series_dropped_total{{reason=\"limit\"}} {}\n",
        2 * dropped
    );
    assert!(again.contains(&line), "{again}");
}

#[test]
fn only_a_cluster_that_was_sampled_anew_is_encoded_anew() {
    let metrics = Metrics::new(INTERVAL);
    let mut snapshot = snapshot(100, vec![group("g", &["t"])]);
    let mut other = ClusterSnapshot::clone(&snapshot.clusters[0]);
    other.name = "other".into();
    snapshot.clusters.push(Arc::new(other));
    metrics.observe_snapshot(&snapshot);
    let before = metrics.exposition();
    snapshot.clusters[1] = Arc::new(ClusterSnapshot::clone(&snapshot.clusters[1]));
    metrics.observe_snapshot(&snapshot);
    let after = metrics.exposition();
    let same =
        |index: usize| Arc::ptr_eq(&before.clusters[index].text, &after.clusters[index].text);
    assert!(same(0) && !same(1));
    snapshot.taken_at = Timestamp::from_seconds(131);
    metrics.observe_snapshot(&snapshot);
    assert!(
        !text(&metrics).contains("kafka_consumer_group_topic_lag"),
        "it is stale"
    );
}

#[test]
fn hostile_names_stay_inside_their_labels_in_both_formats() {
    let metrics = Metrics::new(INTERVAL);
    let long = "x".repeat(64 * 1024);
    let names = [
        "a\"} 1\nevil 1\n",
        "back\\slash\\",
        "# EOF\n# EOF",
        "\u{0}\u{7f}\u{85}\u{2028}\u{202e}\r",
        "{}",
        "",
        &long,
        &format!("{long}y"),
    ];
    let groups = names.map(|name| with_partitions(group(name, &[name])));
    metrics.observe_snapshot(&snapshot(100, groups.to_vec()));
    for name in names {
        let labels = (&"k".into(), System::Kafka, name);
        metrics.dead_letters_stored(labels, name, DeathReason::Exception, 1);
        metrics.dlq_backlog_read(&"k".into(), System::Kafka, name);
        metrics.set_dlq_depth(&"k".into(), System::Kafka, name, 1, None);
    }
    for format in Format::ALL {
        let text = String::from_utf8(metrics.render(format).to_vec()).unwrap();
        let members = text
            .lines()
            .filter(|l| l.starts_with("kafka_consumer_group_members{"));
        let mut members: Vec<&str> = members.collect();
        assert_eq!(members.len(), names.len());
        members.sort_unstable();
        members.dedup();
        assert_eq!(members.len(), names.len(), "two names became one");
        for line in text.lines() {
            assert!(line.len() < 2000 && !line.starts_with("evil"), "{line}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
        let ends = text.lines().filter(|line| *line == "# EOF").count();
        assert_eq!(ends, usize::from(format == Format::OpenMetrics));
    }
}

#[test]
fn every_counter_ends_as_openmetrics_wants_it_and_no_family_collides() {
    let metrics =
        configured("[metrics]\naliases = ['rabbitmq', 'kafka_exporter', 'kafka_lag_exporter']");
    metrics.observe_snapshot(&snapshot(100, vec![with_partitions(group("g", &["t"]))]));
    metrics.dlq_backlog_read(&"k".into(), System::Kafka, "orders.dlq");
    let exposition = metrics.exposition();
    let sampled = exposition.clusters[0].text.families.iter();
    let live = metrics.live_families(Instant::now());
    let mut names = HashSet::new();
    for family in sampled.chain(&live) {
        let head = family.head(Format::OpenMetrics);
        let of_type = head.lines().find_map(|line| line.strip_prefix("# TYPE "));
        let (name, kind) = of_type.unwrap().split_once(' ').unwrap();
        assert!(names.insert(name.to_owned()), "{name} is there twice");
        if kind == "counter" {
            let text = family.head(Format::Text);
            assert!(
                text.contains(&format!("# TYPE {name}_total counter")),
                "{text}"
            );
        }
    }
    assert!(names.len() > 60, "{names:?}");
}

/// The load of the benchmark in a debug build: bounded, and a scrape copies instead of encoding.
#[test]
fn a_hundred_and_fifty_thousand_series_are_encoded_in_bounded_time() {
    let metrics = Metrics::new(INTERVAL);
    let topics: Vec<String> = (0..20).map(|number| format!("topic-{number}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let of = |number: usize| with_partitions(group(&format!("group-{number}"), &topics));
    let snapshot = snapshot(100, (0..870).map(of).collect());
    metrics.observe_snapshot(&snapshot);
    let cost = metrics.encoding_cost(&"k".into()).unwrap();
    assert!(cost.series > 150_000, "{cost:?}");
    let started = Instant::now();
    let plain = metrics.render(Format::OpenMetrics);
    let scrape = started.elapsed();
    let started = Instant::now();
    let gzip = metrics.render_gzip(Format::OpenMetrics);
    let first_gzip = started.elapsed();
    let started = Instant::now();
    metrics.render_gzip(Format::Text);
    let gzip_again = started.elapsed();
    eprintln!(
        "{cost:?}, {} bytes in {scrape:?}, {} compressed in {first_gzip:?}, then {gzip_again:?}",
        plain.len(),
        gzip.len()
    );
    assert!(cost.took < Duration::from_secs(20), "{cost:?}");
    assert!(
        gzip_again * 2 < first_gzip,
        "{gzip_again:?} of {first_gzip:?}"
    );
}
