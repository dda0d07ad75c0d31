//! The story of one order, from the headers of real records to the stitched trace.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use redrive::brokers::kafka::{
    AssignedPartition, KafkaAdmin, KafkaRecord, ReplayProducer, TapConsumer,
};
use redrive::config::Config;
use redrive::domain::conventions::{
    CAUSATION_ID, CORRELATION_ID, ERROR_CLASS, EVENT_ID, EVENT_TYPE, ORIGINAL_OFFSET,
    ORIGINAL_PARTITION, ORIGINAL_TOPIC,
};
use redrive::domain::{
    AmqpProperties, ConsumerGroup, Header, Message, Offset, Partition, Timestamp, TopicName,
};
use redrive::traces::{self, Cause, Repeat, Step};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::intake::{Redrive, config};
use crate::sampling::{client, commit};
use crate::support::dashboard::Dashboard;
use crate::support::rabbitmq::Vhost;
use crate::support::visitor::{api, get};
use crate::support::{eventually, kafka, unique};

pub(crate) struct Site {
    producer: ReplayProducer,
    pub(crate) orders: TopicName,
    pub(crate) payments: TopicName,
    pub(crate) dlq: TopicName,
    pub(crate) folder: TempDir,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let name = |what: &str| TopicName::new(unique(what));
        let site = Self {
            producer: ReplayProducer::new(&kafka(), Duration::from_secs(10)).unwrap(),
            orders: name("traced.orders"),
            payments: name("traced.payments"),
            dlq: name("traced.orders.dlq"),
            folder: TempDir::new().unwrap(),
        };
        let admin = KafkaAdmin::new(&kafka()).unwrap();
        for topic in [&site.orders, &site.payments, &site.dlq] {
            admin.create_topic(topic, 1, &[]).await.unwrap();
        }
        site
    }

    pub(crate) fn config(&self) -> Config {
        let mut config = Config {
            kafka: vec![kafka()],
            ..config()
        };
        config.dead_letters.kafka_topics = vec![self.dlq.to_string()];
        // The DLQ matches too, and is read by intake alone.
        config.traces.kafka_topics = [&self.orders, &self.payments, &self.dlq]
            .map(TopicName::to_string)
            .to_vec();
        config.traces.consumer_group = unique("tap");
        config
    }

    pub(crate) async fn send(
        &self,
        topic: &TopicName,
        headers: &[(&str, &str)],
        body: &str,
    ) -> i64 {
        let message = Message {
            headers: headers
                .iter()
                .map(|(name, value)| Header::text(name, *value))
                .collect(),
            body: Some(Bytes::from(body.to_owned())),
            ..Message::default()
        };
        let sent = self.producer.enqueue(topic, Partition(0), &message);
        sent.unwrap().wait().await.unwrap().offset.0
    }

    /// The tap begins at the end of what it never read, so that something has to be seen first.
    pub(crate) async fn until_it_is_followed(&self, redrive: &Redrive) {
        for topic in [&self.orders, &self.payments] {
            let warm = unique("warm");
            eventually("the topic is followed", async || {
                self.send(topic, &[(CORRELATION_ID, &warm)], "").await;
                let parts = redrive.store.trace_parts(&warm, 1).await.unwrap();
                (parts.all_events > 0).then_some(())
            })
            .await;
        }
    }
}

fn committed(group: &str, topic: &str) -> i64 {
    let consumer: BaseConsumer = client().set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, 0);
    let committed = consumer.committed_offsets(list, Duration::from_secs(10));
    let offset = committed.unwrap().elements()[0].offset();
    offset.to_raw().unwrap()
}

/// A line a node: depth, what, evidence.
async fn story(redrive: &Redrive, order: &str) -> Vec<String> {
    let trace = traces::load(&redrive.store, order).await.unwrap();
    let line = |node: &traces::Node| {
        let what = match &node.step {
            Step::Event(event) => event.event.event_type.clone().unwrap_or_default(),
            Step::Letter(_) => "dead letter".to_owned(),
            Step::Edit(_) => "edit".to_owned(),
            Step::Replay(_) => "replay".to_owned(),
            Step::Missing(id) => format!("missing {id}"),
        };
        let repeat = match node.repeat {
            Some(Repeat::Duplicate) => " duplicate",
            Some(Repeat::Retry) => " retry",
            Some(Repeat::Elsewhere) => " elsewhere",
            Some(Repeat::Replay) => " replayed",
            None => "",
        };
        let evidence = match node.cause {
            Cause::Unknown => "",
            Cause::CausationId => " by causation ID",
            Cause::Provenance => " by provenance",
            Cause::OwnRecord => " by record",
            Cause::SameEvent => " by event ID",
            Cause::Inferred => " inferred",
        };
        format!("{}{what}{repeat}{evidence}", "  ".repeat(node.depth))
    };
    trace.nodes.iter().map(line).collect()
}

async fn eventually_told(redrive: &Redrive, order: &str, expected: &[&str]) {
    let mut seen = Vec::new();
    let told = eventually("the story is told", async || {
        seen = story(redrive, order).await;
        (seen.len() >= expected.len()).then_some(())
    });
    told.await;
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn the_story_of_an_order_is_told_from_headers_and_bodies() {
    let site = Site::new().await;
    let redrive = Redrive::start(site.config(), &site.folder).await;
    site.until_it_is_followed(&redrive).await;
    let order = unique("order");
    let event = |id: &'static str, kind: &'static str| {
        [
            (CORRELATION_ID, order.as_str()),
            (EVENT_ID, id),
            (EVENT_TYPE, kind),
        ]
    };
    let created = site
        .send(&site.orders, &event("e1", "OrderCreated"), "{}")
        .await;
    let mut paid = event("e2", "PaymentTaken").to_vec();
    paid.push((CAUSATION_ID, "e1"));
    site.send(&site.payments, &paid, "{}").await;
    site.send(&site.payments, &paid, "{}").await;
    let body = format!(
        r#"{{"eventId":"e4","eventType":"OrderMailed","correlationId":"{order}","causationId":"e9"}}"#
    );
    site.send(&site.orders, &[], &body).await;
    site.send(&site.orders, &[(EVENT_ID, "e5")], "no correlation")
        .await;
    let (partition, offset) = ("0".to_owned(), created.to_string());
    let mut death = event("e1", "OrderCreated").to_vec();
    death.extend([
        (ERROR_CLASS, "Timeout"),
        (ORIGINAL_TOPIC, site.orders.as_str()),
        (ORIGINAL_PARTITION, &partition),
        (ORIGINAL_OFFSET, &offset),
    ]);
    site.send(&site.dlq, &death, "{}").await;
    let told = [
        "OrderCreated",
        "  PaymentTaken by causation ID",
        "  PaymentTaken duplicate by causation ID",
        "  dead letter by provenance",
        "missing e9",
        "  OrderMailed by causation ID",
    ];
    eventually_told(&redrive, &order, &told).await;
    let counted = "redrive_trace_events_total{cluster=\"kafka\",outcome=\"no_correlation_id\"} 1\n";
    assert!(redrive.exposition().contains(counted), "{counted}");
    redrive.stop().await;
}

/// Sends an event with a time of its own; an empty cause is none.
async fn publish_at(topic: &TopicName, at: Timestamp, order: &str, (id, cause): (&str, &str)) {
    let producer: FutureProducer = client().create().unwrap();
    let body = json!({
        "eventId": id,
        "correlationId": order,
        "causationId": cause,
        "source": format!("service-of-{id}"),
    });
    let body = body.to_string();
    let record = FutureRecord::<(), str>::to(topic.as_str())
        .timestamp(at.as_millis())
        .payload(&body);
    let sent = producer.send(record, Duration::from_secs(10)).await;
    sent.unwrap();
}

#[tokio::test]
async fn how_long_it_took_from_an_event_to_the_next_is_measured_by_their_times() {
    let site = Site::new().await;
    let redrive = Redrive::start(site.config(), &site.folder).await;
    site.until_it_is_followed(&redrive).await;
    let order = unique("order");
    let (orders, payments) = (&site.orders, &site.payments);
    let begun = Timestamp::now();
    let after = |millis| begun.plus(Duration::from_millis(millis));
    // The effect is there before its cause is.
    publish_at(payments, after(1_240), &order, ("paid", "ordered")).await;
    publish_at(orders, begun, &order, ("ordered", "")).await;
    publish_at(payments, after(40), &order, ("paid", "ordered")).await;
    publish_at(orders, after(1_250), &order, ("shipped", "paid")).await;
    let early = begun.minus(Duration::from_secs(1));
    publish_at(orders, early, &order, ("too-early", "ordered")).await;
    let line = |suffix: &str, source: &TopicName, consumer: &str, value: &str| {
        format!(
            "event_processing_duration_seconds_{suffix}{{cluster=\"kafka\",system=\"kafka\",\
             source=\"{source}\",consumer=\"service-of-{consumer}\",basis=\"publish_to_publish\"}} {value}\n"
        )
    };
    let expected = [
        line("sum", orders, "paid", "1.24"),
        line("count", orders, "paid", "1"),
        line("sum", payments, "shipped", "0.01"),
        line("count", payments, "shipped", "1"),
        "redrive_trace_clock_skew_total{cluster=\"kafka\"} 1\n".to_owned(),
    ];
    let told = eventually("the durations are told", async || {
        let text = redrive.exposition();
        expected
            .iter()
            .all(|line| text.contains(line))
            .then_some(text)
    });
    let text = told.await;
    assert!(!text.contains("service-of-too-early"), "{text}");
    redrive.stop().await;
}

#[tokio::test]
async fn a_tap_that_goes_on_at_the_end_leaves_out_what_lies_before_it() {
    const BACKLOG: i64 = 5_000;
    let site = Site::new().await;
    let producer: FutureProducer = client().create().unwrap();
    let sent = (0..BACKLOG).map(|_| {
        let record = FutureRecord::<(), str>::to(site.orders.as_str()).payload("{}");
        producer.send(record, Duration::from_secs(30))
    });
    for sent in join_all(sent).await {
        sent.unwrap();
    }
    let group = ConsumerGroup::new(unique("tap"));
    commit(group.as_str(), site.orders.as_str(), 0).await;
    let tap = TapConsumer::new(&kafka(), &group).unwrap();
    tap.subscribe(&[site.orders.clone()].into()).unwrap();
    let batch = async || {
        tap.next_batch(10, Duration::from_millis(200))
            .await
            .unwrap()
    };
    let first = eventually("the backlog is read", async || {
        let batch = batch().await;
        (!batch.is_empty()).then_some(batch)
    });
    assert_eq!(first.await[0].offset.0, 0);
    let end = AssignedPartition {
        topic: site.orders.clone(),
        partition: Partition(0),
        offset: Offset(BACKLOG),
    };
    tap.skip_to(&[end]).unwrap();
    // Also where nothing comes any more.
    eventually("the skip is committed", async || {
        (committed(group.as_str(), site.orders.as_str()) == BACKLOG).then_some(())
    })
    .await;
    let mut seen: i64 = 0;
    eventually("what comes after the skip is read", async || {
        site.send(&site.orders, &[], "after").await;
        let batch = batch().await;
        seen += i64::try_from(batch.len()).unwrap();
        let is_new = |record: &KafkaRecord| record.message.body.as_deref() == Some(b"after");
        batch.iter().any(is_new).then_some(())
    })
    .await;
    assert!(seen < BACKLOG / 2, "{seen} of the backlog were read");
}

#[tokio::test]
async fn what_one_order_taught_is_inferred_of_another() {
    let site = Site::new().await;
    let redrive = Redrive::start(site.config(), &site.folder).await;
    site.until_it_is_followed(&redrive).await;
    let (named, silent) = (unique("named"), unique("silent"));
    let now = Timestamp::now();
    publish_at(&site.orders, now, &named, ("ordered", "")).await;
    publish_at(&site.payments, now, &named, ("paid", "ordered")).await;
    eventually_told(&redrive, &named, &["", "   by causation ID"]).await;
    publish_at(&site.orders, now, &silent, ("ordered", "")).await;
    let later = now.plus(Duration::from_millis(5));
    publish_at(&site.payments, later, &silent, ("paid", "")).await;
    eventually_told(&redrive, &silent, &["", "   inferred"]).await;
    redrive.stop().await;
}

#[tokio::test]
async fn a_restarted_tap_goes_on_where_it_was() {
    let site = Site::new().await;
    let config = site.config();
    let redrive = Redrive::start(config.clone(), &site.folder).await;
    site.until_it_is_followed(&redrive).await;
    let order = unique("order");
    let event = |kind: &'static str| [(CORRELATION_ID, order.as_str()), (EVENT_TYPE, kind)];
    site.send(&site.orders, &event("First"), "").await;
    eventually_told(&redrive, &order, &["First"]).await;
    redrive.stop().await;
    site.send(&site.orders, &event("WhileItWasDown"), "").await;
    let redrive = Redrive::start(config, &site.folder).await;
    eventually_told(&redrive, &order, &["First", "WhileItWasDown"]).await;
    site.send(&site.orders, &event("Last"), "").await;
    eventually_told(&redrive, &order, &["First", "WhileItWasDown", "Last"]).await;
    redrive.stop().await;
}

#[tokio::test]
async fn an_order_that_crosses_both_brokers_is_one_trace() {
    let site = Site::new().await;
    let vhost = Vhost::create().await;
    let channel = vhost.channel().await;
    let (exchange, queue) = ("commands".into(), "ship".into());
    channel.declare_exchange(&exchange, "direct").await.unwrap();
    channel.declare_queue(&queue, &[]).await.unwrap();
    let bound = channel.bind_queue(&queue, &exchange, "ship-order");
    bound.await.unwrap();
    let mut config = site.config();
    config.rabbitmq = vec![vhost.config()];
    config.traces.rabbitmq_exchanges = vec!["commands".to_owned()];
    let redrive = Redrive::start(config, &site.folder).await;
    site.until_it_is_followed(&redrive).await;
    eventually("the exchange is followed", async || {
        let mut statuses = redrive.taps.statuses().into_iter();
        let is_followed = statuses.any(|status| !status.followed.is_empty());
        is_followed.then_some(())
    })
    .await;
    let order = unique("order");
    let created = [
        (CORRELATION_ID, order.as_str()),
        (EVENT_ID, "e1"),
        (EVENT_TYPE, "OrderCreated"),
    ];
    site.send(&site.orders, &created, "{}").await;
    let command = Message {
        properties: Some(Box::new(AmqpProperties {
            correlation_id: Some(order.clone()),
            message_id: Some("e2".to_owned()),
            kind: Some("ShipOrder".to_owned()),
            timestamp: u64::try_from(Timestamp::now().0 / 1000).ok(),
            ..AmqpProperties::default()
        })),
        headers: vec![Header::text(CAUSATION_ID, "e1")],
        ..Message::default()
    };
    // The tap may be noted before its binding is made.
    eventually("the command is seen", async || {
        let sent = channel.publish(&exchange, "ship-order", &command);
        sent.await.unwrap();
        let parts = redrive.store.trace_parts(&order, 10).await.unwrap();
        (parts.all_events >= 2).then_some(())
    })
    .await;
    let told = story(&redrive, &order).await;
    assert_eq!(told[..2], ["OrderCreated", "  ShipOrder by causation ID"]);
    redrive.stop().await;
}

#[tokio::test]
async fn a_trace_is_found_by_any_of_its_ids_and_told_as_page_and_json() {
    let dashboard = Dashboard::busy().await;
    let order = "9f0c2a41-55aa-4c1e-8f00-1234567890ab";
    for id in [order, "0197f3a2-3333-7abc-8def-000000000002", "order-1042"] {
        let (status, headers, _) = get(&dashboard, &format!("/traces?id={id}")).await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{id}");
        assert_eq!(headers["location"], format!("/traces/{order}"), "{id}");
    }
    let (_, _, html) = get(&dashboard, &format!("/traces/{order}")).await;
    for part in [
        "ParcelSent",
        "payments 1:17",
        "duplicate",
        "An event that was not seen",
        "Passed by",
        "analytics-consumers, fraud-detection",
    ] {
        assert!(html.contains(part), "{part}");
    }
    let link = "<a href=\"https://jaeger.example/trace/4bf92f3577b34da6a3ce929d0e0e4736\"";
    assert!(html.contains(link), "{html}");
    let exported = "<code>9f0c2a4155aa4c1e8f001234567890ab</code>";
    assert!(html.contains(exported), "{html}");
    let (status, _, html) = get(&dashboard, "/traces/nobody").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(html.contains("traces.kafka_topics"), "{html}");

    let trace = api(&dashboard, &format!("/traces/{order}")).await;
    assert_eq!(trace["trace_id"], "9f0c2a4155aa4c1e8f001234567890ab");
    let steps = trace["steps"].as_array().unwrap();
    let in_topic = |topic: &str| {
        let found = steps
            .iter()
            .position(|step| step["published"]["topic"] == topic);
        found.unwrap()
    };
    let (paid, sent) = (in_topic("payments"), in_topic("shipping"));
    assert_eq!(steps[sent]["parent"], paid);
    assert_eq!(steps[sent]["evidence"], "causation_id");
    assert_eq!(steps[sent]["after_ms"], -1_000);
    let found = api(&dashboard, "/traces?dead=1").await;
    assert_eq!(found["items"][0]["correlation_id"], order);
    assert_eq!(found["items"][0]["events"], 6);
}

#[tokio::test]
async fn what_came_twice_and_what_flows_are_told_as_pages_and_json() {
    let dashboard = Dashboard::busy().await;
    let (_, _, html) = get(&dashboard, "/duplicates").await;
    assert!(html.contains("PaymentAuthorised"), "{html}");
    let found = api(&dashboard, "/duplicates").await;
    let [item] = found["items"].as_array().unwrap().as_slice() else {
        panic!("{found}");
    };
    assert_eq!(
        (&item["times"], &item["duplicates"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(found["sources"][0]["destination"], "payments");

    let flow = api(&dashboard, "/flow").await;
    let nodes = flow["nodes"].as_array().unwrap();
    let edges = flow["edges"].as_array().unwrap();
    let name = |end: &Value| nodes[usize::try_from(end.as_u64().unwrap()).unwrap()]["name"].clone();
    let has_edge = |from: &str, kind: &str, to: &str| {
        edges.iter().any(|edge| {
            edge["kind"] == kind && name(&edge["from"]) == from && name(&edge["to"]) == to
        })
    };
    for (from, kind, to) in [
        ("order-service", "publishes", "payments"),
        ("orders", "reads", "payment-consumers"),
        ("payment-consumers", "dead_letters", "orders.dlq"),
        ("events", "routes", "orders.queue"),
        ("orders.queue", "dead_letters", "orders.dlq"),
    ] {
        assert!(has_edge(from, kind, to), "{from} {kind} {to}: {flow}");
    }
    let (_, _, html) = get(&dashboard, "/flow").await;
    assert!(
        html.contains("href=\"/queues/rabbitmq/%2F/orders.queue\""),
        "{html}"
    );
    let (_, _, html) = get(&dashboard, "/flow?name=nothing+is+called+so").await;
    assert!(html.contains("No place has"), "{html}");
}

#[tokio::test]
async fn a_gap_and_what_is_not_followed_are_said() {
    let dashboard = Dashboard::busy().await;
    let order = "9f0c2a41-55aa-4c1e-8f00-1234567890ab";
    let missing = "events of virtual host / on rabbitmq may be missing";
    let (_, _, html) = get(&dashboard, "/traces").await;
    for part in [
        missing,
        "events (2 bindings)",
        "shards: its type is x-consistent-hash",
        "name another in traces.rabbitmq_queue",
    ] {
        assert!(html.contains(part), "{part}");
    }
    let (_, _, html) = get(&dashboard, &format!("/traces/{order}")).await;
    assert!(html.contains(missing), "{html}");
    let trace = api(&dashboard, &format!("/traces/{order}")).await;
    assert_eq!(trace["gaps"][0]["vhost"], "/");
    assert_eq!(trace["gaps"][0]["reason"], "fell_behind");
    let list = api(&dashboard, "/traces").await;
    assert_eq!(list["gaps"], trace["gaps"]);
}
