use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::{
    CommittedOffset, GroupKind, GroupSample, KafkaSample, Offset, PartitionSample, TimeLag,
    TopicSample,
};

const TOPIC: Uuid = Uuid::from_u128(1);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// A look at one partition of a topic and the commit of one group.
fn look(
    state: &mut KafkaState,
    seconds: i64,
    (topic_id, end, committed): (Option<Uuid>, i64, i64),
) -> Option<TimeLag> {
    let partition = PartitionSample {
        partition: Partition(0),
        log_start: Some(Offset(0)),
        high_watermark: Some(Offset(end)),
        last_stable: Some(Offset(end)),
        replicas: 1,
        in_sync_replicas: 1,
    };
    let commit = CommittedOffset {
        topic: "orders".into(),
        partition: Partition(0),
        offset: Offset(committed),
    };
    let sample = KafkaSample {
        topics: vec![TopicSample {
            topic: "orders".into(),
            topic_id,
            internal: false,
            partitions: vec![partition],
        }],
        groups: vec![GroupSample {
            group: "billing".into(),
            kind: GroupKind::Classic,
            state: "Empty".to_owned(),
            members: Vec::new(),
            committed: vec![commit],
        }],
        committed_at: at(seconds),
        ends_at: at(seconds),
        ..KafkaSample::default()
    };
    let derived = state.derive(sample);
    derived.detail.groups[0].time_lag
}

/// Ten records a second from second 1,000 to 1,100, seen every ten seconds; then a restart.
fn restarted(topic_id: Option<Uuid>, now: i64) -> KafkaState {
    let mut before = KafkaState::default();
    for seconds in (0..=100).step_by(10) {
        look(
            &mut before,
            1_000 + seconds,
            (topic_id, 10 * seconds, 10 * seconds),
        );
    }
    let mut state = KafkaState::default();
    for (_, page) in before
        .remembered()
        .iter()
        .filter(|(_, page)| !page.is_empty())
    {
        state.remember(page, at(now)).unwrap();
    }
    state
}

fn exactly(seconds: u64) -> TimeLag {
    TimeLag::Exactly(Duration::from_secs(seconds))
}

fn at_least(seconds: u64) -> TimeLag {
    TimeLag::AtLeast(Duration::from_secs(seconds))
}

#[test]
fn after_a_restart_the_first_look_knows_how_late_a_group_is() {
    let known = Some(TOPIC);
    let check = |now, end, committed, expected| {
        let mut state = restarted(known, now);
        let time_lag = look(&mut state, now, (known, end, committed));
        assert_eq!(time_lag, expected, "{committed} of {end} at {now}");
    };
    // Record 255 was written at second 1,025.5.
    check(1_120, 1_200, 250, Some(exactly(95)));
    check(1_120, 1_000, 250, Some(exactly(95)));
    // Written in the twenty seconds of the restart.
    check(1_120, 1_200, 1_100, Some(exactly(10)));
    check(1_120, 1_200, 1_200, Some(exactly(0)));
    // A day later the same, to what is still in the ring.
    check(50_000, 1_200, 250, Some(exactly(50_000 - 1_025)));
    // Nothing was seen before the first look of the first run.
    let mut state = KafkaState::default();
    let unknown = look(&mut state, 1_120, (known, 1_200, 250));
    assert_eq!(unknown, None, "without memory");
}

#[test]
fn what_was_written_while_nobody_looked_for_long_is_a_bound_until_it_is_passed() {
    let known = Some(TOPIC);
    let mut state = restarted(known, 4_700);
    // 100 records in an hour, nobody knows when: at least as old as this look is.
    assert_eq!(look(&mut state, 4_700, (known, 1_100, 1_050)), None);
    assert_eq!(
        look(&mut state, 4_760, (known, 1_100, 1_050)),
        Some(at_least(60))
    );
    // What was written before is as exact as ever, and what is written now.
    assert_eq!(
        look(&mut state, 4_770, (known, 1_200, 500)),
        Some(exactly(4_770 - 1_050))
    );
    assert_eq!(
        look(&mut state, 4_780, (known, 1_200, 1_150)),
        Some(exactly(15))
    );
    // It stays so when points are thinned, and over one more restart.
    for seconds in (4_790..9_000).step_by(10) {
        look(&mut state, seconds, (known, seconds, 500));
    }
    let mut again = KafkaState::default();
    for (_, page) in state.remembered() {
        if !page.is_empty() {
            again.remember(&page, at(9_000)).unwrap();
        }
    }
    for state in [&mut state, &mut again] {
        let lag = look(state, 9_000, (known, 9_000, 1_050));
        assert!(matches!(lag, Some(TimeLag::AtLeast(_))), "{lag:?}");
    }
}

#[test]
fn another_topic_and_a_shorter_log_have_no_time() {
    let other = Some(Uuid::from_u128(2));
    let mut state = restarted(Some(TOPIC), 1_120);
    assert_eq!(look(&mut state, 1_120, (other, 5_000, 250)), None);
    let mut state = restarted(Some(TOPIC), 1_120);
    assert_eq!(look(&mut state, 1_120, (Some(TOPIC), 999, 250)), None);
    // Without an identity a topic could be its own namesake.
    let mut state = restarted(None, 1_120);
    assert!(state.topics.is_empty());
    assert_eq!(look(&mut state, 1_120, (None, 5_000, 250)), None);
}

#[test]
fn a_clock_that_was_ahead_tells_no_time() {
    let mut state = restarted(Some(TOPIC), 1_050);
    assert_eq!(look(&mut state, 1_050, (Some(TOPIC), 1_000, 250)), None);
}

#[test]
fn that_a_topic_has_transactions_is_remembered() {
    let mut before = restarted(Some(TOPIC), 2_000);
    let topic = before.topics.get_mut(&TopicName::new("orders")).unwrap();
    let partition = topic.partitions.get_mut(&Partition(0)).unwrap();
    partition.log_end = LogEnd::remembered(true);
    let mut state = KafkaState::default();
    let pages = before.remembered();
    let (_, page) = pages.iter().find(|(_, page)| !page.is_empty()).unwrap();
    state.remember(page, at(2_000)).unwrap();
    // The last record is the control record that ends the transaction.
    assert_eq!(
        look(&mut state, 2_000, (Some(TOPIC), 1_000, 999)),
        Some(exactly(0))
    );
}

#[test]
fn ten_thousand_partitions_take_a_few_megabytes() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut state = KafkaState::default();
    for topic in 0..100_u128 {
        let known = state
            .topics
            .entry(TopicName::new(format!("topic-{topic}")))
            .or_default();
        known.topic_id = Some(Uuid::from_u128(topic));
        for partition in 0..100_i32 {
            let times = &mut known
                .partitions
                .entry(Partition(partition))
                .or_default()
                .times;
            let (mut end, mut at) = (1_000_000_000, 1_790_000_000_000);
            for _ in 0..70 {
                times.observe(Offset(end), Timestamp(at));
                end += random.i64(1..20_000);
                at += 10_000 + random.i64(0..50);
            }
        }
    }
    let pages = state.remembered();
    let bytes: usize = pages.iter().map(|(_, page)| page.len()).sum();
    assert!((1_000_000..6_000_000).contains(&bytes), "{bytes}");
    let mut read = KafkaState::default();
    for (_, page) in pages.iter().filter(|(_, page)| !page.is_empty()) {
        read.remember(page, at(1_800_000_000)).unwrap();
    }
    assert_eq!(read.topics.len(), 100);
    assert_eq!(read.remembered().len(), pages.len());
}

proptest! {
    #[test]
    fn no_bytes_are_more_than_damaged(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut state = KafkaState::default();
        let _ = state.remember(&bytes, at(2_000));
        let _ = state.remember(&pack(&bytes), at(2_000));
    }

    /// One wrong byte of what was written never makes a panic, nor a time in the future.
    #[test]
    fn a_wrong_byte_makes_no_time_in_the_future(place in any::<prop::sample::Index>(), byte: u8) {
        let before = restarted(Some(TOPIC), 1_120);
        let pages = before.remembered();
        let (_, page) = pages.iter().find(|(_, page)| !page.is_empty()).unwrap();
        let mut raw = unpack(page).unwrap();
        let place = place.index(raw.len());
        raw[place] = byte;
        let mut state = KafkaState::default();
        if state.remember(&pack(&raw), at(1_120)).is_ok() {
            look(&mut state, 1_120, (Some(TOPIC), 5_000, 250));
        }
    }
}
