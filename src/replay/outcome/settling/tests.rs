use super::*;
use crate::domain::{
    BrokerHealth, ClusterDetail, DeadLetterId, Destination, GroupKind, GroupPartitionStatus,
    GroupTopicStatus, GroupVerdict, KafkaDetail, PartitionSample, Replay, ReplayId, ReplayJobId,
    ReplayState, RevisionNumber, System, TopicStatus,
};
use uuid::Uuid;

fn topic(name: &str, ends: &[(i64, i64)]) -> TopicStatus {
    let partitions = (0..)
        .zip(ends)
        .map(|(number, (start, end))| PartitionSample {
            partition: Partition(number),
            log_start: Some(Offset(*start)),
            high_watermark: Some(Offset(*end)),
            last_stable: Some(Offset(*end)),
            replicas: 1,
            in_sync_replicas: 1,
        });
    TopicStatus {
        topic: name.into(),
        topic_id: None,
        internal: false,
        partitions: partitions.collect(),
        produce_rate: None,
        produced_total: 0,
    }
}

fn group(name: &str, topic: &str) -> GroupStatus {
    let topic = GroupTopicStatus {
        topic: topic.into(),
        lag: 0,
        processed_total: 0,
        lost_total: 0,
        partitions: Vec::new(),
    };
    GroupStatus {
        group: name.into(),
        kind: GroupKind::Classic,
        state: "Stable".to_owned(),
        members: Vec::new(),
        verdict: GroupVerdict::Ok,
        topics: vec![topic],
        lag: 0,
        time_lag: None,
        consume_rate: None,
        produce_rate: None,
        lost_total: 0,
    }
}

fn cluster(topics: Vec<TopicStatus>, groups: Vec<GroupStatus>) -> ClusterSnapshot {
    ClusterSnapshot {
        name: "k".into(),
        system: System::Kafka,
        health: BrokerHealth {
            last_success: Some(Timestamp(100)),
            ..BrokerHealth::default()
        },
        detail: Some(ClusterDetail::Kafka(KafkaDetail { topics, groups })),
    }
}

fn names(patterns: &[&str]) -> NameFilter {
    NameFilter::parse(patterns.iter().copied()).unwrap()
}

fn ends_of(cluster: &ClusterSnapshot) -> Option<DlqEnds> {
    DlqEnds::of(cluster, &names(&["*.dlq"]), &names(&["ignored.dlq"]))
}

fn cursor(topic: &str, partition: i32, next: i64) -> KafkaCursor {
    KafkaCursor {
        topic: topic.into(),
        topic_id: None,
        partition: Partition(partition),
        next_offset: Offset(next),
    }
}

#[test]
fn every_dlq_that_holds_anything_must_be_read_to_its_end() {
    let topics = vec![
        topic("orders", &[(0, 1000)]),
        topic("orders.dlq", &[(0, 7), (3, 3)]),
        topic("ignored.dlq", &[(0, 9)]),
    ];
    let ends = ends_of(&cluster(topics, Vec::new())).unwrap();
    let check = |cursors: &[KafkaCursor], expected: bool| {
        let settled = is_settled(Timestamp(90), Timestamp(95), Timestamp(100), &ends, cursors);
        assert_eq!(settled, expected, "{cursors:?}");
    };
    check(&[], false);
    check(&[cursor("orders.dlq", 0, 6)], false);
    check(&[cursor("orders.dlq", 0, 7)], true);
    check(&[cursor("orders.dlq", 1, 7)], false);
}

#[test]
fn nothing_is_settled_before_its_time_or_by_ends_from_before_the_pass() {
    let ends = ends_of(&cluster(Vec::new(), Vec::new())).unwrap();
    let settled = |passed, from, now| {
        is_settled(
            Timestamp(passed),
            Timestamp(from),
            Timestamp(now),
            &ends,
            &[],
        )
    };
    assert!(settled(100, 110, 110));
    assert!(!settled(100, 110, 109));
    assert!(!settled(101, 110, 200), "the ends were read at 100");
}

#[test]
fn an_end_that_is_not_known_settles_nothing() {
    let mut dlq = topic("orders.dlq", &[(0, 7)]);
    dlq.partitions[0].last_stable = None;
    dlq.partitions[0].high_watermark = None;
    assert_eq!(ends_of(&cluster(vec![dlq], Vec::new())), None);
}

fn tracked(consumer: Option<&str>) -> TrackedReplay {
    TrackedReplay {
        replay: Replay {
            id: ReplayId(Uuid::nil()),
            number: crate::domain::ReplayNumber(1),
            job: ReplayJobId(Uuid::nil()),
            dead_letter: DeadLetterId(1),
            revision: RevisionNumber(0),
            destination: Destination::Kafka {
                cluster: "k".into(),
                topic: "orders".into(),
                partition: None,
            },
            attempt: 1,
            state: ReplayState::Planned,
            updated_at: Timestamp(0),
        },
        system: System::Kafka,
        cluster: "k".into(),
        dlq: "orders.dlq".to_owned(),
        source: Some("orders".to_owned()),
        consumer: consumer.map(str::to_owned),
    }
}

#[test]
fn the_group_that_failed_decides_where_it_is_known() {
    let by: Vec<PassedBy> = [("analytics", 10), ("payments", 20)]
        .map(|(group, at)| PassedBy {
            group: group.into(),
            at: Timestamp(at),
        })
        .to_vec();
    let cluster = cluster(
        Vec::new(),
        vec![group("payments", "orders"), group("analytics", "orders")],
    );
    let check = |consumer: Option<&str>, topic: &str, by: &[PassedBy], expected: Option<i64>| {
        let pass = decisive_pass(&tracked(consumer), &topic.into(), by, &cluster);
        assert_eq!(pass, expected.map(Timestamp), "{consumer:?} {topic}");
    };
    check(Some("payments"), "orders", &by, Some(20));
    check(Some("payments"), "orders", &by[..1], None);
    check(None, "orders", &by, Some(20));
    check(None, "orders", &by[..1], None);
    check(Some("gone"), "orders", &by[..1], None);
    check(Some("gone"), "orders", &by, Some(20));
    check(Some("payments"), "elsewhere", &by[..1], Some(10));
}

#[test]
fn a_group_that_reads_no_more_is_not_waited_for_and_a_connector_is_found_by_its_name() {
    let by = [PassedBy {
        group: "analytics".into(),
        at: Timestamp(10),
    }];
    let mut left = group("left", "orders");
    left.state = "Empty".to_owned();
    let mut elsewhere = group("elsewhere", "orders");
    elsewhere.members = vec![GroupMember {
        member_id: "m".to_owned(),
        client_id: "c".to_owned(),
        host: "h".to_owned(),
        assignment: vec![("payments".into(), vec![Partition(0)])],
    }];
    let groups = vec![group("analytics", "orders"), left, elsewhere];
    let check = |consumer: Option<&str>, groups: &[GroupStatus], expected: Option<i64>| {
        let cluster = cluster(Vec::new(), groups.to_vec());
        let pass = decisive_pass(&tracked(consumer), &"orders".into(), &by, &cluster);
        assert_eq!(pass, expected.map(Timestamp), "{consumer:?}");
    };
    check(None, &groups, Some(10));
    let mut sink = group("connect-sink", "orders");
    sink.state = "Empty".to_owned();
    let with_sink = [groups, vec![sink]].concat();
    check(None, &with_sink, Some(10));
    check(Some("sink"), &with_sink, None);
}

#[test]
fn what_waits_in_a_retry_topic_is_not_over() {
    let over = |retry: &str, ends: &[(i64, i64)], committed: &[i64]| {
        let mut reader = group("orders-retry", retry);
        let partitions = (0..).zip(committed);
        reader.topics[0].partitions = partitions
            .map(|(number, committed)| GroupPartitionStatus {
                partition: Partition(number),
                committed: Offset(*committed),
                log_start: None,
                log_end: None,
                lag: None,
                time_lag: None,
                retention_headroom: None,
            })
            .collect();
        let topics = vec![topic("orders", &[(0, 1000)]), topic(retry, ends)];
        retries_are_over(&cluster(topics, vec![reader]), &"orders".into())
    };
    for retry in [
        "orders-retry",
        "orders-retry-0",
        "orders-retry-1000",
        "orders_retry_5000",
    ] {
        assert!(!over(retry, &[(0, 7)], &[6]), "{retry}");
        assert!(!over(retry, &[(0, 7)], &[]), "{retry}: nobody reads it");
        assert!(over(retry, &[(0, 7)], &[7]), "{retry}");
        assert!(over(retry, &[(7, 7)], &[]), "{retry} is empty");
        assert!(!over(retry, &[(0, 7), (0, 1)], &[7, 0]), "{retry}");
    }
    for other in [
        "orders-retry-x",
        "orders-retrying",
        "my-orders-retry",
        "orders_retry_",
    ] {
        assert!(over(other, &[(0, 7)], &[6]), "{other}");
    }
}
