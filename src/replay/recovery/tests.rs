use super::*;
use crate::domain::{DeadLetterId, ReplayId, ReplayJobId, RevisionNumber};
use uuid::Uuid;

const OVER_AT: Timestamp = Timestamp(100_000);
const RECORDED: Landing = Landing {
    partition: Partition(0),
    offset: Offset(50),
};

fn replay(number: u128, started_at: i64, offset: i64) -> Replay {
    let landing = Landing {
        partition: Partition(0),
        offset: Offset(offset),
    };
    Replay {
        id: ReplayId(Uuid::from_u128(number)),
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
        state: ReplayState::Sending {
            started_at: Timestamp(started_at),
            high_watermark: Some(landing),
            topic_id: None,
        },
        updated_at: Timestamp(0),
    }
}

/// A partition with one replica, read to its end, in which nothing was found.
fn nothing_found() -> Evidence {
    Evidence {
        replicas: Some(PartitionReplicas {
            partition: Partition(0),
            replicas: 1,
            in_sync_replicas: 1,
            has_leader: true,
        }),
        settings: Some(LogSettings {
            min_in_sync: 1,
            compacted: false,
        }),
        replica_lag_limit: Duration::ZERO,
        watermarks: Watermarks {
            low: Offset(0),
            high: Offset(60),
        },
        watermarks_read_at: OVER_AT,
        scan: ScanResult {
            found: HashMap::new(),
            gap: false,
            complete: true,
            contiguous: true,
        },
        topic_id: None,
        problem: None,
    }
}

fn judge(evidence: &Evidence, now: Timestamp) -> Verdict {
    verdict(&replay(1, 0, 50), RECORDED, evidence, (OVER_AT, now))
}

fn unknown_because(verdict: &Verdict, expected: &str) {
    let Verdict::Unprovable(reason) = verdict else {
        panic!("{verdict:?}")
    };
    assert!(reason.contains(expected), "{reason}");
}

#[test]
fn what_is_found_was_sent_whatever_else_is_wrong() {
    let mut evidence = nothing_found();
    evidence.settings = None;
    evidence.scan.complete = false;
    evidence.scan.gap = true;
    let id = ReplayId(Uuid::from_u128(1)).to_string();
    evidence.scan.found.insert(id, Offset(55));
    let landing = Landing {
        partition: Partition(0),
        offset: Offset(55),
    };
    assert_eq!(judge(&evidence, OVER_AT), Verdict::Found(landing));
}

#[test]
fn what_a_whole_log_does_not_hold_was_never_sent() {
    assert_eq!(judge(&nothing_found(), OVER_AT), Verdict::Absent);
}

#[test]
fn a_topic_that_was_made_anew_proves_nothing() {
    let mut evidence = nothing_found();
    let mut sent = replay(1, 0, 50);
    let ReplayState::Sending { topic_id, .. } = &mut sent.state else {
        panic!("{sent:?}");
    };
    *topic_id = Some(Uuid::from_u128(1));
    let judge = |evidence: &Evidence| verdict(&sent, RECORDED, evidence, (OVER_AT, OVER_AT));
    assert_eq!(
        judge(&evidence),
        Verdict::Absent,
        "it is not known to be another"
    );
    evidence.topic_id = Some(Uuid::from_u128(1));
    assert_eq!(judge(&evidence), Verdict::Absent);
    evidence.topic_id = Some(Uuid::from_u128(2));
    unknown_because(&judge(&evidence), "made anew");
}

#[test]
fn what_cannot_be_read_becomes_unknown_after_a_while() {
    let mut evidence = nothing_found();
    evidence.problem = Some("it has no leader".to_owned());
    assert_eq!(judge(&evidence, OVER_AT), Verdict::NotYet(LOOK_AGAIN));
    let late = OVER_AT.plus(GIVE_UP_AFTER);
    unknown_because(&judge(&evidence, late), "it has no leader");
}

#[test]
fn a_whole_log_of_replicas_in_sync_needs_no_settings() {
    let mut evidence = nothing_found();
    evidence.settings = None;
    assert_eq!(judge(&evidence, OVER_AT), Verdict::Absent);
}

#[test]
fn a_compacted_log_of_which_no_offset_is_missing_is_whole() {
    let mut evidence = nothing_found();
    evidence.settings = Some(LogSettings {
        min_in_sync: 1,
        compacted: true,
    });
    assert_eq!(judge(&evidence, OVER_AT), Verdict::Absent);
}

#[test]
fn a_record_may_be_appended_and_not_yet_replicated() {
    let mut evidence = nothing_found();
    evidence.replicas = Some(PartitionReplicas {
        partition: Partition(0),
        replicas: 3,
        in_sync_replicas: 3,
        has_leader: true,
    });
    evidence.replica_lag_limit = Duration::from_secs(30);
    let wait = Duration::from_secs(45);
    assert_eq!(judge(&evidence, OVER_AT), Verdict::NotYet(wait));
    // What counts is when the end was read, not when it is judged.
    let later = OVER_AT.plus(wait);
    assert_eq!(judge(&evidence, later), Verdict::NotYet(LOOK_AGAIN));
    evidence.watermarks_read_at = later;
    assert_eq!(judge(&evidence, later), Verdict::Absent);
}

#[test]
fn a_log_that_lost_something_proves_nothing() {
    let check = |change: fn(&mut Evidence), expected: &str| {
        let mut evidence = nothing_found();
        change(&mut evidence);
        unknown_because(&judge(&evidence, OVER_AT), expected);
    };
    check(|e| e.watermarks.high = Offset(49), "cut off");
    check(|e| e.watermarks.low = Offset(51), "retention");
    check(|e| e.scan.gap = true, "retention");
    check(
        |e| {
            e.settings = Some(LogSettings {
                min_in_sync: 1,
                compacted: true,
            });
            e.scan.contiguous = false;
        },
        "compacted",
    );
}

#[test]
fn what_may_still_become_provable_is_looked_at_again_for_a_while() {
    let check = |change: fn(&mut Evidence), expected: &str| {
        let mut evidence = nothing_found();
        change(&mut evidence);
        assert_eq!(judge(&evidence, OVER_AT), Verdict::NotYet(LOOK_AGAIN));
        let late = OVER_AT.plus(GIVE_UP_AFTER);
        unknown_because(&judge(&evidence, late), expected);
    };
    check(|e| e.replicas = None, "no longer there");
    check(
        |e| {
            e.settings = None;
            e.scan.contiguous = false;
        },
        "settings",
    );
    check(
        |e| {
            e.settings = None;
            e.replicas = Some(PartitionReplicas {
                partition: Partition(0),
                replicas: 2,
                in_sync_replicas: 1,
                has_leader: true,
            });
        },
        "settings",
    );
    check(
        |e| {
            e.settings = Some(LogSettings {
                min_in_sync: 2,
                compacted: false,
            });
        },
        "in-sync",
    );
    check(|e| e.scan.complete = false, "to its end");
}

#[test]
fn a_partition_is_read_once_for_all_its_replays_and_not_before_the_last_is_over() {
    let mut unplaced = replay(3, 0, 0);
    unplaced.state = ReplayState::Sending {
        started_at: Timestamp(0),
        high_watermark: None,
        topic_id: None,
    };
    let sending = vec![replay(1, 10, 50), replay(2, 20, 40), unplaced];
    let (searches, unplaced) = group_by_partition(sending);
    assert_eq!(unplaced.len(), 1);
    let search = &searches[&("orders".into(), Partition(0))];
    assert_eq!(search.replays.len(), 2);
    assert_eq!(
        (search.started_at, search.from),
        (Timestamp(20), Offset(40))
    );
}
