use std::sync::Arc;

use super::*;
use crate::domain::{
    BindingSample, BrokerHealth, Custody, DeadLetterSummary, DeathReason, EventIdentity,
    ExchangeSample, Filter, KafkaDetail, Origin, PartitionSample, RabbitMqDetail, ReplayOptions,
    RevisionNumber, Timestamp, TopicStatus,
};
use crate::replay::RevisionChoice;

fn candidate(position: Position, origin: Origin) -> ReplayCandidate {
    let custody = match position {
        Position::Kafka { .. } => Custody::Broker,
        Position::RabbitMq { .. } => Custody::Store,
    };
    let cluster = match position {
        Position::Kafka { .. } => "kafka",
        Position::RabbitMq { .. } => "rabbitmq",
    };
    let summary = DeadLetterSummary {
        id: DeadLetterId(1),
        cluster: cluster.into(),
        position,
        status: DeadLetterStatus::Open,
        custody,
        dead_at: Timestamp(0),
        indexed_at: Timestamp(0),
        reason: DeathReason::Exception,
        source: origin.destination.clone(),
        consumer: None,
        failure_class: None,
        failure_message: None,
        event: EventIdentity::default(),
        group: "v1:1".into(),
        size: 0,
        attempts: None,
        latest_revision: RevisionNumber(0),
        died_from_replay: None,
        possible_duplicate_of: None,
    };
    ReplayCandidate {
        summary,
        origin,
        body_omitted: None,
        key_edited: false,
        revision: RevisionNumber(0),
        replayed_before: false,
    }
}

fn origin(destination: &str, partition: i32, offset: i64) -> Origin {
    Origin {
        destination: Some(destination.to_owned()),
        partition: Some(Partition(partition)),
        offset: Some(Offset(offset)),
        ..Origin::default()
    }
}

fn in_kafka(origin: Origin) -> ReplayCandidate {
    let position = Position::Kafka {
        topic: "orders.dlq".into(),
        topic_id: None,
        partition: Partition(0),
        offset: Offset(9),
    };
    candidate(position, origin)
}

fn in_rabbitmq() -> ReplayCandidate {
    let position = Position::RabbitMq {
        vhost: "shop".into(),
        queue: "orders.dlq".into(),
        fingerprint: String::new(),
    };
    let died_in = Origin {
        destination: Some("orders.queue".to_owned()),
        ..Origin::default()
    };
    candidate(position, died_in)
}

/// Both brokers on their default names, with topic `orders` of two partitions and nothing else.
fn snapshot() -> Snapshot {
    let partition = |number| PartitionSample {
        partition: Partition(number),
        log_start: None,
        high_watermark: None,
        last_stable: None,
        replicas: 1,
        in_sync_replicas: 1,
    };
    let topic = |name: &str, internal| TopicStatus {
        topic: name.into(),
        topic_id: None,
        internal,
        partitions: vec![partition(0), partition(1)],
        produce_rate: None,
        produced_total: 0,
    };
    let kafka = KafkaDetail {
        topics: vec![topic("orders", false), topic("__consumer_offsets", true)],
        groups: Vec::new(),
    };
    let rabbitmq = RabbitMqDetail {
        exchanges: vec![ExchangeSample {
            vhost: "shop".into(),
            exchange: "events".into(),
            kind: "topic".to_owned(),
            alternate_exchange: None,
        }],
        bindings: Vec::<BindingSample>::new(),
        ..RabbitMqDetail::default()
    };
    let cluster = |name: &str, system, detail| {
        Arc::new(ClusterSnapshot {
            name: name.into(),
            system,
            health: BrokerHealth {
                up: true,
                ..BrokerHealth::default()
            },
            detail: Some(detail),
        })
    };
    Snapshot {
        taken_at: Timestamp(0),
        clusters: vec![
            cluster("kafka", System::Kafka, ClusterDetail::Kafka(kafka)),
            cluster(
                "rabbitmq",
                System::RabbitMq,
                ClusterDetail::RabbitMq(rabbitmq),
            ),
        ],
    }
}

fn config() -> Config {
    Config::parse("", []).unwrap()
}

/// A request that names the dead letter.
fn request(destination: &DestinationChoice) -> ReplayRequest {
    ReplayRequest {
        selection: Selection::DeadLetters(vec![DeadLetterId(1)]),
        revision: RevisionChoice::Latest,
        destination: destination.clone(),
        options: ReplayOptions::default(),
    }
}

fn event(candidate: &ReplayCandidate, destination: &DestinationChoice) -> PreflightEvent {
    let context = PlanContext {
        config: &config(),
        snapshot: &snapshot(),
        request: &request(destination),
    };
    judge(candidate, &context)
}

fn refused(candidate: &ReplayCandidate, destination: &DestinationChoice, expected: RefusalKind) {
    let verdict = event(candidate, destination).verdict;
    assert!(
        matches!(&verdict, Err(refusal) if refusal.kind == expected),
        "{verdict:?}"
    );
}

fn original() -> DestinationChoice {
    DestinationChoice::Original
}

fn topic(name: &str) -> DestinationChoice {
    DestinationChoice::KafkaTopic {
        cluster: "kafka".into(),
        topic: name.into(),
    }
}

fn partition_of(event: &PreflightEvent) -> Option<i32> {
    match event.verdict.as_ref().unwrap() {
        Destination::Kafka { partition, .. } => partition.map(|partition| partition.0),
        destination @ Destination::RabbitMq { .. } => panic!("{destination}"),
    }
}

#[test]
fn a_record_goes_back_to_its_partition_if_the_topic_still_has_it() {
    let check = |candidate: &ReplayCandidate, destination: &DestinationChoice, expected| {
        assert_eq!(partition_of(&event(candidate, destination)), expected);
    };
    check(&in_kafka(origin("orders", 1, 5)), &original(), Some(1));
    check(&in_kafka(origin("orders", 2, 5)), &original(), None);
    check(&in_kafka(origin("orders", -1, 5)), &original(), None);
    check(&in_kafka(origin("elsewhere", 1, 5)), &topic("orders"), None);
    let edited = ReplayCandidate {
        key_edited: true,
        ..in_kafka(origin("orders", 1, 5))
    };
    check(&edited, &original(), None);
}

#[test]
fn what_cannot_be_replayed_is_refused_with_its_reason() {
    let with = |change: fn(&mut ReplayCandidate)| {
        let mut candidate = in_kafka(origin("orders", 0, 0));
        change(&mut candidate);
        candidate
    };
    let check = |change: fn(&mut ReplayCandidate), expected| {
        refused(&with(change), &original(), expected);
    };
    check(
        |c| c.summary.status = DeadLetterStatus::Replaying,
        RefusalKind::Active,
    );
    check(
        |c| c.summary.status = DeadLetterStatus::Gone,
        RefusalKind::Gone,
    );
    check(|c| c.revision = RevisionNumber(1), RefusalKind::Incomplete);
    check(
        |c| c.body_omitted = Some("too large".to_owned()),
        RefusalKind::Incomplete,
    );
    check(|c| c.origin.destination = None, RefusalKind::NoDestination);
    check(
        |c| c.origin.destination = Some("gone".to_owned()),
        RefusalKind::NoDestination,
    );
    check(
        |c| c.summary.cluster = "another".into(),
        RefusalKind::NotAllowed,
    );
    refused(
        &with(|_| {}),
        &topic("__consumer_offsets"),
        RefusalKind::NotAllowed,
    );

    let mut observed = in_rabbitmq();
    observed.summary.custody = Custody::Broker;
    refused(&observed, &original(), RefusalKind::StillInQueue);
}

#[test]
fn a_filter_leaves_out_what_was_replayed_and_a_name_does_not() {
    let mut candidate = in_kafka(origin("orders", 0, 0));
    candidate.summary.status = DeadLetterStatus::Replayed;
    candidate.replayed_before = true;
    let named = event(&candidate, &original());
    assert!(named.verdict.is_ok() && named.replayed_before);
    let matched = ReplayRequest {
        selection: Selection::Filter(Filter::default()),
        ..request(&original())
    };
    let context = PlanContext {
        config: &config(),
        snapshot: &snapshot(),
        request: &matched,
    };
    let verdict = judge(&candidate, &context).verdict;
    let expected = RefusalKind::AlreadyReplayed;
    assert!(
        matches!(&verdict, Err(refusal) if refusal.kind == expected),
        "{verdict:?}"
    );
}

#[test]
fn an_edit_may_replace_a_body_that_was_too_large_to_keep() {
    let mut candidate = in_kafka(origin("orders", 0, 0));
    candidate.body_omitted = Some("too large".to_owned());
    candidate.summary.latest_revision = RevisionNumber(1);
    candidate.revision = RevisionNumber(1);
    assert!(event(&candidate, &original()).verdict.is_ok());
}

#[test]
fn one_system_s_dead_letter_does_not_go_to_the_other() {
    let queue = DestinationChoice::Queue {
        cluster: "rabbitmq".into(),
        vhost: "shop".into(),
        queue: "orders.queue".into(),
    };
    refused(
        &in_kafka(origin("orders", 0, 0)),
        &queue,
        RefusalKind::NotAllowed,
    );
    refused(&in_rabbitmq(), &topic("orders"), RefusalKind::NotAllowed);
}

#[test]
fn a_queue_or_exchange_that_is_not_there_is_refused() {
    refused(&in_rabbitmq(), &original(), RefusalKind::NoDestination);
    let exchange = |name: &str| DestinationChoice::Exchange {
        cluster: "rabbitmq".into(),
        vhost: "shop".into(),
        exchange: name.into(),
        routing_key: "order.created".to_owned(),
    };
    refused(
        &in_rabbitmq(),
        &exchange("nowhere"),
        RefusalKind::NoDestination,
    );
    assert!(event(&in_rabbitmq(), &exchange("events")).verdict.is_ok());
}

#[test]
fn cc_is_kept_only_to_an_exchange_that_is_named() {
    let judged = |candidate: &ReplayCandidate, destination: &DestinationChoice| {
        let options = ReplayOptions {
            keep_cc: true,
            ..ReplayOptions::default()
        };
        let context = PlanContext {
            config: &config(),
            snapshot: &snapshot(),
            request: &ReplayRequest {
                options,
                ..request(destination)
            },
        };
        judge(candidate, &context).verdict
    };
    let exchange = |name: &str| DestinationChoice::Exchange {
        cluster: "rabbitmq".into(),
        vhost: "shop".into(),
        exchange: name.into(),
        routing_key: "order.created".to_owned(),
    };
    assert!(judged(&in_rabbitmq(), &exchange("events")).is_ok());
    for straight_to_a_queue in [original(), exchange("")] {
        let refusal = judged(&in_rabbitmq(), &straight_to_a_queue).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::NotAllowed);
        assert!(refusal.reason.contains("CC"), "{}", refusal.reason);
    }
    // Kafka has none, and a selection may be of both systems.
    assert!(judged(&in_kafka(origin("orders", 0, 0)), &original()).is_ok());
}

#[test]
fn a_broker_that_does_not_answer_is_a_warning_and_no_refusal() {
    let snapshot = Snapshot::default();
    let context = PlanContext {
        config: &config(),
        snapshot: &snapshot,
        request: &request(&original()),
    };
    let event = judge(&in_kafka(origin("orders", 1, 5)), &context);
    assert_eq!(partition_of(&event), Some(1));
    assert!(
        event.warnings[0].contains("could not be checked"),
        "{:?}",
        event.warnings
    );
}

#[test]
fn read_only_clusters_refuse() {
    let config = Config::parse("[[kafka]]\nname = 'kafka'\nread_only = true", []).unwrap();
    let context = PlanContext {
        config: &config,
        snapshot: &snapshot(),
        request: &request(&original()),
    };
    let verdict = judge(&in_kafka(origin("orders", 0, 0)), &context).verdict;
    let Err(refusal) = verdict else {
        panic!("{verdict:?}")
    };
    assert!(refusal.reason.contains("read_only"), "{}", refusal.reason);
}

#[test]
fn events_are_sent_in_the_order_in_which_they_first_lay() {
    let numbered = |id: i64, origin: Origin| {
        let mut candidate = in_kafka(origin);
        candidate.summary.id = DeadLetterId(id);
        candidate
    };
    let mut candidates = [
        numbered(1, origin("orders", 0, 30)),
        numbered(2, origin("orders", 1, 10)),
        numbered(3, origin("orders", 0, 20)),
        numbered(5, Origin::default()),
        numbered(4, Origin::default()),
    ];
    sort_for_sending(&mut candidates);
    let order: Vec<i64> = candidates.iter().map(|c| c.summary.id.0).collect();
    assert_eq!(order, [4, 5, 3, 1, 2]);
}

#[test]
fn a_guessed_destination_is_called_so() {
    let warned = |destination: &DestinationChoice| {
        let mut candidate = in_kafka(origin("orders", 1, 4711));
        candidate.origin.guessed = true;
        let event = event(&candidate, destination);
        let warned = event.warnings.iter();
        warned
            .filter(|warning| warning.contains("guessed by the name of the DLQ"))
            .count()
    };
    assert_eq!(warned(&original()), 1);
    assert_eq!(warned(&topic("orders")), 0);
}
