use std::sync::Arc;

use super::*;
use crate::domain::{
    BindingSample, BrokerHealth, ClusterDetail, GroupKind, GroupTopicStatus, GroupVerdict,
    QueueCounters, QueueRates, QueueSample,
};

const NOW: Timestamp = Timestamp(100_000);

fn group(name: &str, topics: &[&str], rate: f64) -> GroupStatus {
    let topic = |topic: &&str| GroupTopicStatus {
        topic: (*topic).into(),
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
        topics: topics.iter().map(topic).collect(),
        lag: 0,
        time_lag: None,
        consume_rate: Some(rate),
        produce_rate: None,
        lost_total: 0,
    }
}

fn queue(name: &str, role: QueueRole, dead_letters_to: &[&str]) -> QueueStatus {
    QueueStatus {
        sample: QueueSample::classic("/".into(), name.into()),
        role,
        dead_letters_to: dead_letters_to.iter().map(|name| (*name).into()).collect(),
        dead_letters_unroutable: false,
        circling: None,
        rates: QueueRates {
            publish: Some(8.0),
            settle: Some(4.0),
            redeliver: None,
        },
        totals: QueueCounters::default(),
    }
}

fn cluster(name: &str, system: System, detail: ClusterDetail) -> Arc<ClusterSnapshot> {
    Arc::new(ClusterSnapshot {
        name: name.into(),
        system,
        health: BrokerHealth::default(),
        detail: Some(detail),
    })
}

fn snapshot(groups: Vec<GroupStatus>, rabbitmq: RabbitMqDetail) -> Snapshot {
    let kafka = KafkaDetail {
        topics: Vec::new(),
        groups,
    };
    Snapshot {
        taken_at: NOW,
        clusters: vec![
            cluster("k", System::Kafka, ClusterDetail::Kafka(kafka)),
            cluster("r", System::RabbitMq, ClusterDetail::RabbitMq(rabbitmq)),
        ],
    }
}

fn channel(topic: &str) -> Channel {
    Channel::Topic {
        cluster: "k".into(),
        topic: topic.into(),
    }
}

fn dead(source: &str, consumer: Option<&str>, dlq: &str, dead_letters: u64) -> DeadFlow {
    DeadFlow {
        system: System::Kafka,
        cluster: "k".into(),
        vhost: "".into(),
        source: Some(source.to_owned()),
        consumer: consumer.map(str::to_owned),
        dlq: dlq.to_owned(),
        dead_letters,
    }
}

fn name(node: &FlowNode) -> String {
    match node {
        FlowNode::Service(name) => format!("service {name}"),
        FlowNode::Channel(Channel::Topic { topic, .. }) => format!("topic {topic}"),
        FlowNode::Channel(Channel::Exchange { exchange, .. }) => format!("exchange {exchange}"),
        FlowNode::Queue(_, _, queue) => format!("queue {queue}"),
        FlowNode::Group(_, group) => format!("group {group}"),
    }
}

fn check(graph: &FlowGraph, expected: &[&str]) {
    let number = |number: Option<f64>| number.map_or("?".to_owned(), |number| number.to_string());
    let line = |edge: &FlowEdge| {
        format!(
            "{} {:?} {} rate {} errors {}",
            name(&graph.nodes[edge.from]),
            edge.kind,
            name(&graph.nodes[edge.to]),
            number(edge.measure.rate),
            number(edge.measure.error_share)
        )
    };
    let mut lines: Vec<String> = graph.edges.iter().map(line).collect();
    lines.sort();
    assert_eq!(lines, expected);
}

fn drawn(snapshot: &Snapshot, observed: &ObservedFlows) -> FlowGraph {
    let own = OwnNames {
        group: "redrive-traces".to_owned(),
    };
    flow_graph(snapshot, observed, &own, NOW)
}

#[test]
fn events_flow_from_services_through_topics_to_groups_and_dlqs() {
    let groups = vec![
        group("billing", &["orders"], 2.0),
        group("audit", &["orders", "payments"], 9.0),
        group("redrive-traces", &["orders"], 5.0),
    ];
    let observed = ObservedFlows {
        since: Timestamp(0),
        published: vec![PublishedFlow {
            source: Some("shop".to_owned()),
            to: channel("orders"),
            events: 200,
        }],
        caused: vec![CausedFlow {
            cause: channel("orders"),
            source: "billing-service".to_owned(),
            events: 100,
        }],
        dead: vec![
            dead("orders", Some("billing"), "orders.dlq", 20),
            dead("orders", Some("gone"), "orders.dlq", 10),
            dead("orders", None, "orders.dlq", 10),
        ],
    };
    let graph = drawn(&snapshot(groups, RabbitMqDetail::default()), &observed);
    check(
        &graph,
        &[
            "group billing DeadLetters topic orders.dlq rate 0.2 errors ?",
            "service shop Publishes topic orders rate 2 errors ?",
            "topic orders Causes service billing-service rate 1 errors ?",
            "topic orders DeadLetters topic orders.dlq rate 0.2 errors ?",
            "topic orders Reads group audit rate ? errors 0",
            "topic orders Reads group billing rate 2 errors 0.1",
            "topic payments Reads group audit rate ? errors ?",
        ],
    );
    let dlqs: Vec<String> = graph.dlqs.iter().map(name).collect();
    assert_eq!(dlqs, ["topic orders.dlq"]);
}

#[test]
fn bindings_and_dead_letter_targets_are_drawn_as_they_are() {
    let binding = |exchange: &str, destination| BindingSample {
        vhost: "/".into(),
        exchange: exchange.into(),
        destination,
        routing_key: "#".to_owned(),
        has_arguments: false,
    };
    let to = |queue: &str| BindingDestination::Queue(queue.into());
    let rabbitmq = RabbitMqDetail {
        queues: vec![
            queue("work", QueueRole::Work, &["dlq"]),
            queue("both", QueueRole::Work, &[]),
            queue("dlq", QueueRole::Dlq, &[]),
        ],
        bindings: vec![
            binding("single", to("work")),
            binding("orders", to("both")),
            binding("mails", to("both")),
            binding("mails", to("no queue")),
            binding("orders", BindingDestination::Exchange("mails".into())),
        ],
        ..RabbitMqDetail::default()
    };
    let mut died = dead("work", Some("whoever"), "dlq", 100);
    died.system = System::RabbitMq;
    died.cluster = "r".into();
    died.vhost = "/".into();
    let exchange = |name: &str| Channel::Exchange {
        cluster: "r".into(),
        vhost: "/".into(),
        exchange: name.into(),
    };
    let published = |name: &str| PublishedFlow {
        source: None,
        to: exchange(name),
        events: 400,
    };
    let observed = ObservedFlows {
        published: vec![published("orders"), published("single")],
        dead: vec![died],
        ..ObservedFlows::default()
    };
    let graph = drawn(&snapshot(Vec::new(), rabbitmq), &observed);
    check(
        &graph,
        &[
            "exchange mails Routes queue both rate ? errors ?",
            "exchange orders Routes exchange mails rate ? errors ?",
            "exchange orders Routes queue both rate ? errors ?",
            "exchange single Routes queue work rate 8 errors 0.25",
            "queue work DeadLetters queue dlq rate 1 errors ?",
        ],
    );
    let dlqs: Vec<String> = graph.dlqs.iter().map(name).collect();
    assert_eq!(dlqs, ["queue dlq"]);
}
