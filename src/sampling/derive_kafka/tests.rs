use super::*;
use crate::domain::{
    CommittedOffset, GroupKind, GroupMember, GroupPartitionStatus, GroupSample, GroupStatus,
    GroupVerdict, TimeLag,
};

/// The offsets of the one partition that most tests look at.
#[derive(Clone, Copy)]
struct Log {
    start: i64,
    stable: i64,
    end: i64,
}

impl Log {
    fn plain(start: i64, end: i64) -> Self {
        Self {
            start,
            stable: end,
            end,
        }
    }
}

fn topic(log: Log) -> TopicSample {
    TopicSample {
        topic: "orders".into(),
        topic_id: Some(Uuid::from_u128(1)),
        internal: false,
        partitions: vec![PartitionSample {
            partition: Partition(0),
            log_start: Some(Offset(log.start)),
            high_watermark: Some(Offset(log.end)),
            last_stable: Some(Offset(log.stable)),
            replicas: 1,
            in_sync_replicas: 1,
        }],
    }
}

fn commit(topic: &str, partition: i32, offset: i64) -> CommittedOffset {
    CommittedOffset {
        topic: topic.into(),
        partition: Partition(partition),
        offset: Offset(offset),
    }
}

fn group(committed: Vec<CommittedOffset>) -> GroupSample {
    GroupSample {
        group: "payments".into(),
        kind: GroupKind::Classic,
        state: "Stable".to_owned(),
        members: vec![GroupMember {
            member_id: "m".to_owned(),
            client_id: "c".to_owned(),
            host: "/127.0.0.1".to_owned(),
            assignment: Vec::new(),
        }],
        committed,
    }
}

fn sample(seconds: i64, log: Log, committed: i64) -> KafkaSample {
    KafkaSample {
        topics: vec![topic(log)],
        groups: vec![group(vec![commit("orders", 0, committed)])],
        committed_at: Timestamp::from_seconds(seconds),
        ends_at: Timestamp::from_seconds(seconds),
        ..KafkaSample::default()
    }
}

fn only_group(derivation: &KafkaDerivation) -> &GroupStatus {
    assert_eq!(derivation.detail.groups.len(), 1);
    &derivation.detail.groups[0]
}

fn only_partition(derivation: &KafkaDerivation) -> &GroupPartitionStatus {
    &only_group(derivation).topics[0].partitions[0]
}

#[test]
fn lag_counts_what_is_left_to_read() {
    let check = |log: Log, committed: i64, expected: u64| {
        let derivation = KafkaState::default().derive(sample(0, log, committed));
        assert_eq!(only_partition(&derivation).lag, Some(expected));
        assert_eq!(only_group(&derivation).lag, expected);
    };
    check(Log::plain(0, 100), 60, 40);
    check(Log::plain(0, 100), 100, 0);
    // Read after the ends, so the group was faster: never negative.
    check(Log::plain(0, 100), 120, 0);
    // Retention removed 50..80: no phantom lag.
    check(Log::plain(80, 100), 50, 20);
    check(Log::plain(0, i64::MAX), 0, i64::MAX.unsigned_abs());
}

#[test]
fn a_partition_without_a_commit_has_no_lag() {
    let mut state = KafkaState::default();
    let mut looked = sample(0, Log::plain(0, 100), -1);
    looked.groups[0]
        .committed
        .push(commit("unknown-topic", 0, 7));
    let derivation = state.derive(looked);
    let topics = &only_group(&derivation).topics;
    assert_eq!(topics.len(), 1, "-1 is no commit");
    assert_eq!(topics[0].partitions[0].lag, None, "its end is not known");
    assert_eq!(only_group(&derivation).time_lag, None);
}

/// Kafka Streams' own protocol, whose members Redrive does not read.
#[test]
fn members_that_are_not_described_are_members() {
    let look = |state: &str| {
        let mut group = group(vec![commit("orders", 0, 4)]);
        group.kind = GroupKind::Streams;
        group.state = state.to_owned();
        group.members.clear();
        let sample = KafkaSample {
            topics: vec![topic(Log::plain(0, 9))],
            groups: vec![group],
            ..KafkaSample::default()
        };
        let status = KafkaState::default().derive(sample).detail.groups.remove(0);
        (status.member_count(), status.verdict)
    };
    assert_eq!(look("Stable"), (None, GroupVerdict::Ok));
    assert_eq!(look("Empty"), (Some(0), GroupVerdict::NoMembers));
}

#[test]
fn the_end_of_a_transaction_is_no_lag() {
    let open = Log {
        start: 0,
        stable: 100,
        end: 110,
    };
    let mut state = KafkaState::default();
    let derivation = state.derive(sample(0, open, 100));
    assert_eq!(
        only_partition(&derivation).lag,
        Some(0),
        "the rest is undecided"
    );
    let derivation = state.derive(sample(10, Log::plain(0, 111), 110));
    assert_eq!(
        only_partition(&derivation).lag,
        Some(0),
        "only its marker is left"
    );
    assert_eq!(only_group(&derivation).verdict, GroupVerdict::Ok);
    let derivation = state.derive(sample(20, Log::plain(0, 111), 109));
    assert_eq!(only_partition(&derivation).lag, Some(2));
    let derivation = KafkaState::default().derive(sample(0, Log::plain(0, 111), 110));
    assert_eq!(
        only_partition(&derivation).lag,
        Some(1),
        "no transaction was seen"
    );
}

#[test]
fn time_lag_is_the_age_of_the_oldest_unread_message() {
    let seconds = Duration::from_secs;
    let mut state = KafkaState::default();
    let mut look = |at, log, committed| {
        let derivation = state.derive(sample(at, log, committed));
        only_partition(&derivation).time_lag
    };
    assert_eq!(
        look(0, Log::plain(0, 100), 100),
        Some(TimeLag::Exactly(seconds(0)))
    );
    assert_eq!(
        look(10, Log::plain(0, 200), 150),
        Some(TimeLag::Exactly(seconds(5)))
    );
    assert_eq!(
        look(20, Log::plain(0, 200), 150),
        Some(TimeLag::Exactly(seconds(15)))
    );
    assert_eq!(
        look(30, Log::plain(0, 200), 90),
        Some(TimeLag::AtLeast(seconds(30)))
    );
    assert_eq!(
        look(40, Log::plain(150, 200), 90),
        Some(TimeLag::AtLeast(seconds(35)))
    );
    assert_eq!(
        look(50, Log::plain(150, 200), 200),
        Some(TimeLag::Exactly(seconds(0)))
    );

    let first = KafkaState::default().derive(sample(0, Log::plain(0, 100), 50));
    assert_eq!(
        only_partition(&first).time_lag,
        None,
        "unknown is absent, never 0"
    );
}

#[test]
fn rates_and_totals_are_deltas_since_redrive_started() {
    let mut state = KafkaState::default();
    let first = state.derive(sample(0, Log::plain(0, 1000), 900));
    assert_eq!(first.detail.topics[0].produce_rate, None);
    assert_eq!(only_group(&first).consume_rate, None);
    assert_eq!(only_group(&first).topics[0].processed_total, 0);
    let second = state.derive(sample(10, Log::plain(0, 1050), 940));
    assert_eq!(second.detail.topics[0].produce_rate, Some(5.0));
    assert_eq!(second.detail.topics[0].produced_total, 50);
    assert_eq!(only_group(&second).consume_rate, Some(4.0));
    assert_eq!(only_group(&second).produce_rate, Some(5.0));
    assert_eq!(only_group(&second).topics[0].processed_total, 40);
    // The offset was set back: nothing was processed, and nothing is taken back.
    let third = state.derive(sample(20, Log::plain(0, 1050), 0));
    assert_eq!(only_group(&third).topics[0].processed_total, 40);
    assert_eq!(only_group(&third).verdict, GroupVerdict::Rewound);
}

#[test]
fn a_recreated_topic_is_not_compared_with_its_namesake() {
    let mut state = KafkaState::default();
    state.derive(sample(0, Log::plain(0, 1000), 900));
    let mut recreated = sample(10, Log::plain(0, 2000), 1500);
    recreated.topics[0].topic_id = Some(Uuid::from_u128(2));
    let derivation = state.derive(recreated);
    assert_eq!(derivation.detail.topics[0].produced_total, 0);
    assert_eq!(only_group(&derivation).topics[0].processed_total, 0);
    assert_eq!(only_partition(&derivation).time_lag, None);
}

#[test]
fn what_retention_takes_from_a_group_is_counted_from_the_second_look_on() {
    let mut state = KafkaState::default();
    let mut look = |at, log, committed| {
        let derivation = state.derive(sample(at, log, committed));
        let group = only_group(&derivation);
        (group.lost_total, group.verdict)
    };
    assert_eq!(look(0, Log::plain(80, 200), 50), (0, GroupVerdict::Lost));
    assert_eq!(look(10, Log::plain(100, 200), 50), (20, GroupVerdict::Lost));
    assert_eq!(look(20, Log::plain(100, 200), 50), (20, GroupVerdict::Lost));
    assert_eq!(look(30, Log::plain(150, 200), 120).0, 50);
    assert_eq!(
        look(40, Log::plain(160, 200), 200).0,
        50,
        "read before it went"
    );
}

#[test]
fn retention_headroom_is_the_share_that_was_read() {
    let check = |log: Log, committed: i64, expected: Option<f64>| {
        let derivation = KafkaState::default().derive(sample(0, log, committed));
        assert_eq!(only_partition(&derivation).retention_headroom, expected);
    };
    check(Log::plain(100, 200), 150, Some(0.5));
    check(Log::plain(100, 200), 100, Some(0.0));
    check(Log::plain(100, 200), 50, Some(0.0));
    check(Log::plain(100, 200), 210, Some(1.0));
    check(Log::plain(100, 100), 100, None);
}

#[test]
fn the_time_from_publishing_to_the_commit_is_weighted_by_records() {
    let mut state = KafkaState::default();
    let first = state.derive(sample(0, Log::plain(0, 100), 50));
    assert!(first.publish_to_commit.is_empty());
    state.derive(sample(10, Log::plain(0, 200), 50));
    let derivation = state.derive(sample(20, Log::plain(0, 200), 200));
    let [committed] = derivation.publish_to_commit.as_slice() else {
        panic!("{:?}", derivation.publish_to_commit);
    };
    let records: u64 = committed.durations.iter().map(|(_, records)| records).sum();
    // 50..100 were written before the first look: nobody knows when.
    assert!((94..=113).contains(&records), "{records}");
    let weighted: f64 = committed
        .durations
        .iter()
        .map(|(duration, records)| duration.as_secs_f64() * *records as f64)
        .sum();
    let mean = weighted / records as f64;
    assert!((14.0..=16.0).contains(&mean), "written around 5 s: {mean}");
}

#[test]
fn a_group_that_a_sample_misses_keeps_its_counters_for_a_while() {
    let mut state = KafkaState::default();
    state.derive(sample(0, Log::plain(0, 100), 10));
    state.derive(sample(10, Log::plain(0, 100), 30));
    let mut missing = sample(20, Log::plain(0, 100), 30);
    missing.groups.clear();
    assert!(state.derive(missing.clone()).detail.groups.is_empty());
    let back = state.derive(sample(30, Log::plain(0, 100), 50));
    assert_eq!(only_group(&back).topics[0].processed_total, 40);
    (0..FORGOTTEN_AFTER_SAMPLES).for_each(|_| drop(state.derive(missing.clone())));
    assert!(state.groups.is_empty());
}

#[test]
fn what_a_broker_says_twice_counts_once() {
    let mut doubled = sample(0, Log::plain(0, 100), 60);
    doubled.topics.extend(doubled.topics.clone());
    doubled.groups[0].committed.push(commit("orders", 0, 60));
    doubled.groups.extend(doubled.groups.clone());
    let mut state = KafkaState::default();
    let derivation = state.derive(doubled);
    assert_eq!(derivation.detail.topics.len(), 1);
    assert_eq!(only_group(&derivation).lag, 40);
}

#[test]
fn offsets_at_the_edge_of_their_range_do_not_panic() {
    let mut state = KafkaState::default();
    for (at, log, committed) in [
        (0, Log::plain(i64::MIN, i64::MAX), i64::MAX),
        (10, Log::plain(i64::MAX, i64::MIN), 0),
        (5, Log::plain(0, i64::MAX), i64::MAX),
        (20, Log::plain(-5, 0), i64::MIN),
        (i64::MAX / 1000, Log::plain(0, 1), 1),
    ] {
        state.derive(sample(at, log, committed));
    }
}

#[test]
fn a_broker_that_restarts_takes_no_counter_back_and_makes_none_jump() {
    let mut state = KafkaState::default();
    let totals = |derivation: &KafkaDerivation| {
        let topic = derivation.detail.topics.first();
        let group = derivation.detail.groups.first();
        (
            topic.map(|topic| topic.produced_total),
            group.map(|group| group.topics[0].processed_total),
        )
    };
    state.derive(sample(0, Log::plain(0, 100), 60));
    let before = state.derive(sample(10, Log::plain(0, 110), 65));
    assert_eq!(totals(&before), (Some(10), Some(5)));
    // The leader is away, and the coordinator has not loaded its groups.
    let mut leaderless = sample(20, Log::plain(0, 0), 0);
    leaderless.groups.clear();
    let partition = &mut leaderless.topics[0].partitions[0];
    partition.log_start = None;
    partition.high_watermark = None;
    partition.last_stable = None;
    assert_eq!(totals(&state.derive(leaderless)), (Some(10), None));
    let mut nothing = sample(30, Log::plain(0, 0), 0);
    nothing.groups.clear();
    nothing.topics.clear();
    assert_eq!(totals(&state.derive(nothing)), (None, None));
    let after = state.derive(sample(40, Log::plain(0, 130), 70));
    assert_eq!(totals(&after), (Some(30), Some(10)));
}

#[test]
fn redrive_that_restarts_begins_at_zero_and_counts_nothing_twice() {
    let look = |state: &mut KafkaState, seconds, log, committed| {
        let derivation = state.derive(sample(seconds, log, committed));
        let group = only_group(&derivation);
        let topic = &derivation.detail.topics[0];
        (
            topic.produced_total,
            group.topics[0].processed_total,
            group.lost_total,
        )
    };
    let mut state = KafkaState::default();
    assert_eq!(look(&mut state, 0, Log::plain(90, 100), 60), (0, 0, 0));
    let counted = look(&mut state, 10, Log::plain(95, 120), 70);
    assert_eq!(counted, (20, 10, 5));
    // What was there before the start is in no counter, so that a rate over the restart is no burst.
    let mut state = KafkaState::default();
    assert_eq!(look(&mut state, 20, Log::plain(95, 120), 70), (0, 0, 0));
    assert_eq!(look(&mut state, 30, Log::plain(97, 121), 98), (1, 28, 0));
}
