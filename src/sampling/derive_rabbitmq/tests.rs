use super::*;

fn queue(name: &str, counters: Option<QueueCounters>) -> QueueSample {
    QueueSample {
        messages: Some(1),
        ready: Some(1),
        unacked: Some(0),
        consumers: Some(1),
        counters,
        ..QueueSample::classic("/".into(), name.into())
    }
}

fn counters(published: u64, settled: u64, redelivered: u64) -> QueueCounters {
    QueueCounters {
        published,
        settled,
        redelivered,
        delivered: settled,
    }
}

fn derive(
    state: &mut RabbitMqState,
    seconds: i64,
    queues: Vec<QueueSample>,
    dead_lettered: &[(&str, u64)],
) -> RabbitMqDetail {
    let counter = |(reason, count): &(&str, u64)| DeadLetteredCounter {
        queue_type: "classic".to_owned(),
        strategy: "disabled".to_owned(),
        reason: (*reason).to_owned(),
        count: *count,
    };
    let sample = RabbitMqSample {
        counters_at: Timestamp::from_seconds(seconds),
        queues,
        dead_lettered: BTreeMap::from([(
            "rabbit@a".to_owned(),
            dead_lettered.iter().map(counter).collect(),
        )]),
        ..RabbitMqSample::default()
    };
    state.derive(sample, &TopologyOverrides::default())
}

#[test]
fn rates_come_from_counters_and_totals_begin_at_zero() {
    let mut state = RabbitMqState::default();
    let mut look = |seconds, now| {
        let detail = derive(&mut state, seconds, vec![queue("q", now)], &[]);
        (detail.queues[0].rates, detail.queues[0].totals)
    };
    let rates = |publish, settle, redeliver| QueueRates {
        publish: Some(publish),
        settle: Some(settle),
        redeliver: Some(redeliver),
    };
    let first = look(0, Some(counters(1000, 900, 3)));
    assert_eq!(first, (QueueRates::default(), counters(0, 0, 0)));
    let second = look(10, Some(counters(1050, 940, 4)));
    assert_eq!(second, (rates(5.0, 4.0, 0.1), counters(50, 40, 1)));
    let same_listing = look(10, Some(counters(1050, 940, 4)));
    assert_eq!(
        same_listing, second,
        "a listing that is used again is no pause"
    );
    let without_counters = look(20, None);
    assert_eq!(
        without_counters,
        (QueueRates::default(), counters(50, 40, 1))
    );
    let third = look(30, Some(counters(1070, 940, 4)));
    assert_eq!(third, (rates(1.0, 0.0, 0.0), counters(70, 40, 1)));
}

#[test]
fn totals_do_not_fall_when_a_broker_restarts() {
    let mut state = RabbitMqState::default();
    let mut look = |seconds, now| {
        let detail = derive(&mut state, seconds, vec![queue("q", Some(now))], &[]);
        (
            detail.queues[0].rates.publish,
            detail.queues[0].totals.published,
        )
    };
    look(0, counters(1000, 0, 0));
    assert_eq!(look(10, counters(1100, 0, 0)), (Some(10.0), 100));
    assert_eq!(look(20, counters(30, 0, 0)), (None, 100));
    assert_eq!(look(30, counters(50, 0, 0)), (Some(2.0), 120));
}

#[test]
fn discarded_messages_are_counted_since_redrive_started() {
    let mut state = RabbitMqState::default();
    let mut look = |seconds, counters: &[(&str, u64)]| -> Vec<u64> {
        let detail = derive(&mut state, seconds, Vec::new(), counters);
        detail
            .dead_lettered
            .iter()
            .map(|counter| counter.count)
            .collect()
    };
    assert_eq!(look(0, &[("rejected", 70)]), [0]);
    assert_eq!(look(10, &[("expired", 9), ("rejected", 75)]), [0, 5]);
    assert_eq!(look(20, &[("expired", 10), ("rejected", 2)]), [1, 5]);
    assert_eq!(look(30, &[("rejected", 3), ("rejected", 90)]), [1, 6]);
}

#[test]
fn a_queue_that_is_gone_is_forgotten_and_a_doubled_one_counts_once() {
    let mut state = RabbitMqState::default();
    let some = Some(counters(1, 1, 1));
    let doubled = vec![queue("q", some), queue("q", some)];
    assert_eq!(derive(&mut state, 0, doubled, &[]).queues.len(), 1);
    for look in 1..=10 {
        assert_eq!(state.queues.len(), 1, "after {look} looks");
        assert!(
            derive(&mut state, look * 10, Vec::new(), &[])
                .queues
                .is_empty()
        );
    }
    assert!(state.queues.is_empty());
}

#[test]
fn what_is_missing_while_a_node_restarts_goes_on_where_it_was() {
    let mut state = RabbitMqState::default();
    let mut look = |seconds, published: Option<u64>, rejected: &[(&str, u64)]| {
        let queues = published.map(|published| queue("q", Some(counters(published, 0, 0))));
        let detail = derive(&mut state, seconds, queues.into_iter().collect(), rejected);
        (
            detail.queues.first().map(|queue| queue.totals.published),
            detail.dead_lettered.first().map(|counter| counter.count),
        )
    };
    look(0, Some(1000), &[("rejected", 70)]);
    let before = look(10, Some(1100), &[("rejected", 75)]);
    assert_eq!(before, (Some(100), Some(5)));
    assert_eq!(look(20, None, &[]), (None, Some(5)));
    let counters_began_anew = look(30, Some(3), &[("rejected", 1)]);
    assert_eq!(counters_began_anew, (Some(100), Some(5)));
    let after = look(40, Some(13), &[("rejected", 2)]);
    assert_eq!(after, (Some(110), Some(6)));
}

#[test]
fn discarded_messages_of_all_nodes_are_one_counter_that_does_not_jump() {
    let mut state = RabbitMqState::default();
    let mut look = |seconds: i64, nodes: &[(&str, u64)]| -> Vec<u64> {
        let counter = |(node, count): &(&str, u64)| {
            let counter = DeadLetteredCounter {
                queue_type: "classic".to_owned(),
                strategy: "disabled".to_owned(),
                reason: "rejected".to_owned(),
                count: *count,
            };
            ((*node).to_owned(), vec![counter])
        };
        let sample = RabbitMqSample {
            counters_at: Timestamp::from_seconds(seconds),
            dead_lettered: nodes.iter().map(counter).collect(),
            ..RabbitMqSample::default()
        };
        let detail = state.derive(sample, &TopologyOverrides::default());
        detail.dead_lettered.iter().map(|c| c.count).collect()
    };
    assert_eq!(look(0, &[("a", 1000), ("b", 70)]), [0]);
    assert_eq!(look(10, &[("a", 1001), ("b", 72)]), [3]);
    assert_eq!(look(20, &[("b", 73)]), [4], "a does not answer");
    assert_eq!(look(30, &[("a", 1004), ("b", 73)]), [7]);
    assert_eq!(look(40, &[("a", 2), ("b", 73)]), [7], "a restarted");
    assert_eq!(look(50, &[("a", 3), ("b", 73), ("c", 900)]), [8]);
    assert_eq!(look(60, &[]), Vec::<u64>::new(), "no plugin answers");
    for sample in 7..20 {
        let without_a = look(sample * 10, &[("b", 73), ("c", 900)]);
        assert_eq!(
            without_a,
            [8],
            "a counter that falls counts as one that began anew"
        );
    }
    assert_eq!(look(200, &[("a", 500), ("b", 74), ("c", 900)]), [9]);
}
