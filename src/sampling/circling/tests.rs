use super::*;

/// Seconds between two readings of these tests.
const INTERVAL: i64 = 10;

#[derive(Clone, Copy)]
struct Seen {
    delivered: Option<u64>,
    settled: Option<u64>,
    unacked: u64,
    waiting: u64,
}

/// A reading in which one message was delivered, rejected, and waits.
const ROUND: Seen = Seen {
    delivered: Some(1),
    settled: Some(0),
    unacked: 0,
    waiting: 1,
};
const NOTHING: Seen = Seen {
    delivered: Some(0),
    ..ROUND
};

fn settles(messages: u64) -> Seen {
    Seen {
        delivered: Some(messages),
        settled: Some(messages),
        ..ROUND
    }
}

/// Deliveries since the proof began, as of the last reading.
fn circling(seconds_to_live: u64, readings: &[Seen]) -> Option<u64> {
    let mut rounds = Rounds::default();
    for (number, seen) in (0..).zip(readings) {
        let reading = Reading {
            at: Timestamp::from_seconds(number * INTERVAL),
            delivered: seen.delivered,
            settled: seen.settled,
            unacked: seen.unacked,
        };
        let way = Way {
            round: Duration::from_secs(seconds_to_live),
            waiting: seen.waiting,
        };
        rounds.observe(reading, Some(way));
    }
    rounds.proven().map(|(_, delivered)| delivered)
}

fn then(first: &[Seen], second: &[Seen]) -> Vec<Seen> {
    [first, second].concat()
}

#[test]
fn it_takes_ten_readings_without_a_settled_message() {
    let check = |readings: &[Seen], expected: Option<u64>| {
        assert_eq!(circling(5, readings), expected);
    };
    check(&[], None);
    check(&[ROUND], None);
    check(&[ROUND; 9], None);
    check(&[ROUND; 10], Some(10));
    check(&then(&[ROUND; 12], &[settles(1)]), None);
    check(&then(&then(&[ROUND; 12], &[settles(1)]), &[ROUND; 9]), None);
    let settles_now_and_then = then(&[ROUND; 8], &[settles(1)]).repeat(20);
    check(&settles_now_and_then, None);
    check(&then(&settles_now_and_then, &[ROUND; 10]), Some(10));
}

#[test]
fn what_is_idle_is_not_circling() {
    let check = |readings: &[Seen], expected: Option<u64>| {
        assert_eq!(circling(5, readings), expected);
    };
    check(&[NOTHING; 100], None);
    check(&then(&[ROUND; 2], &[NOTHING; 100]), None);
    check(&then(&[ROUND; 10], &[NOTHING; 7]), Some(10));
    check(&then(&[ROUND; 10], &[NOTHING; 8]), None);
    // Two deliveries in ten readings are one failure and one more attempt.
    check(&then(&[ROUND; 2], &[NOTHING; 6]), None);
}

#[test]
fn a_message_may_fail_twice_before_it_succeeds() {
    let one_round = then(&[ROUND], &[NOTHING; 29]);
    let check = |rounds: usize, expected: Option<u64>| {
        let readings = then(&one_round.repeat(rounds), &[ROUND]);
        assert_eq!(circling(300, &readings), expected, "{rounds} rounds");
    };
    check(1, None);
    check(2, None);
    check(3, Some(4));
    check(10, Some(11));
}

#[test]
fn messages_that_are_held_or_requeued_go_no_round() {
    let check = |seen: Seen, expected: Option<u64>| {
        assert_eq!(circling(5, &[seen; 20]), expected);
    };
    check(ROUND, Some(20));
    let held = Seen {
        unacked: 20,
        ..ROUND
    };
    check(held, None);
    let requeued = Seen {
        waiting: 0,
        ..ROUND
    };
    check(requeued, None);
}

#[test]
fn counters_that_fell_prove_nothing() {
    let restarted = Seen {
        delivered: None,
        ..ROUND
    };
    let settled_restarted = Seen {
        settled: None,
        ..ROUND
    };
    for fell in [restarted, settled_restarted] {
        assert_eq!(circling(5, &then(&[ROUND; 20], &[fell])), None);
        assert_eq!(
            circling(5, &then(&then(&[ROUND; 20], &[fell]), &[ROUND; 9])),
            None
        );
    }
}

#[test]
fn without_a_way_back_nothing_circles() {
    let mut rounds = Rounds::default();
    let reading = |number: i64| Reading {
        at: Timestamp::from_seconds(number * INTERVAL),
        delivered: Some(1),
        settled: Some(0),
        unacked: 0,
    };
    let way = Way {
        round: Duration::from_secs(5),
        waiting: 1,
    };
    for number in 0..20 {
        rounds.observe(reading(number), Some(way));
    }
    assert_eq!(rounds.proven(), Some((Timestamp::from_seconds(0), 20)));
    rounds.observe(reading(20), None);
    assert_eq!(rounds.proven(), None);
}
