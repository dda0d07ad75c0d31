use std::sync::Arc;

use super::*;
use crate::domain::{
    BrokerHealth, ClusterDetail, ClusterSnapshot, QueueName, RabbitMqDetail, System, Timestamp,
};

fn snapshot(version: &str) -> Snapshot {
    let detail = RabbitMqDetail {
        version: version.to_owned(),
        ..RabbitMqDetail::default()
    };
    let cluster = ClusterSnapshot {
        name: "shop".into(),
        system: System::RabbitMq,
        health: BrokerHealth::default(),
        detail: Some(ClusterDetail::RabbitMq(detail)),
    };
    Snapshot {
        taken_at: Timestamp(0),
        clusters: vec![Arc::new(cluster)],
    }
}

fn audience(destination: Destination) -> Audience {
    Audience {
        destination,
        events: 1,
        recipients: Vec::new(),
        known: true,
    }
}

fn to_queues(queues: &[&str]) -> Vec<Audience> {
    let queues = queues.iter().map(|queue| QueueName::new(*queue));
    queues
        .map(|queue| audience(Destination::queue("shop".into(), "/".into(), &queue)))
        .collect()
}

const KEEP_X_DEATH: ReplayOptions = ReplayOptions {
    keep_x_death: true,
    restore_expiration: false,
    keep_cc: false,
};

#[test]
fn what_x_death_does_is_told_by_the_version_of_the_broker() {
    for (version, expected) in [
        ("3.10.8", "dropped silently"),
        ("3.13.7", "dropped silently"),
        ("4.1.0", "counts from 1"),
        ("", "up to 3.13 takes x-death"),
    ] {
        let told = cautions(KEEP_X_DEATH, &to_queues(&["a", "b"]), &snapshot(version));
        assert_eq!(told.len(), 1, "one cluster is told once");
        assert!(told[0].contains(expected), "{version}: {}", told[0]);
    }
}

#[test]
fn only_what_is_on_and_matters_is_told() {
    let tell = |options, audiences: &[Audience]| cautions(options, audiences, &snapshot("4.1.0"));
    let all = ReplayOptions {
        keep_x_death: true,
        restore_expiration: true,
        keep_cc: true,
    };
    assert_eq!(tell(all, &to_queues(&["a"])).len(), 3);
    assert!(tell(ReplayOptions::default(), &to_queues(&["a"])).is_empty());
    assert!(tell(all, &[]).is_empty(), "nothing would be sent");
    let topic = audience(Destination::Kafka {
        cluster: "kafka".into(),
        topic: "orders".into(),
        partition: None,
    });
    assert!(tell(all, &[topic])[0].contains("nothing goes there"));
}
