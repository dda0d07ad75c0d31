//! Hostile messages from a real broker through the whole program: taken in, shown, searched, read from a
//! shell, and on Kafka sent back byte for byte. What the sampling client and AMQP's parser meet is in
//! `kafka_hostile` and `rabbitmq_hostile`, and the targets of `tests/fuzz` go through single pages.

use std::process::Output;
use std::time::Duration;

use redrive::brokers::kafka::{KafkaAdmin, ReplayProducer};
use redrive::domain::{
    DeadLetterId, ExportedDeadLetter, Header, Message, Partition, QueueName, TopicName,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::replay_crash::{free_port, kafka_section, post_replays};
use crate::support::crashes::serve;
use crate::support::hostile::{CASE, Hostile, for_any_broker, for_kafka};
use crate::support::rabbitmq::{Vhost, default_exchange};
use crate::support::raw_amqp::{RawClient, long, short};
use crate::support::replays::{new_topic, records_in};
use crate::support::visitor::client;
use crate::support::{eventually, kafka, required, unique};

/// A body of 10 MiB, its headers, and what the protocols add.
const LARGEST_RECORD: &str = "12000000";

/// A page shows 256 KiB of a payload, each byte of it as at most forty.
const LARGEST_PAGE: usize = 12 * 1024 * 1024;

/// Ways to look at a dead letter.
const PAGES: [&str; 6] = [
    "",
    "?form=raw",
    "?form=hex",
    "?tab=error",
    "?tab=headers",
    "?tab=history",
];

/// The real program with a store of its own.
struct Service {
    address: String,
    _child: Child,
    _folder: TempDir,
}

impl Service {
    async fn start(sections: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port().await;
        let text = format!(
            "[http]\nlisten = '127.0.0.1:{port}'\n[store]\nurl = 'sqlite:redrive.db'\n\
             [sampling]\ninterval = '1s'\n{sections}"
        );
        std::fs::write(folder.path().join("redrive.toml"), text).unwrap();
        Self {
            address: format!("http://127.0.0.1:{port}"),
            _child: serve(folder.path(), None),
            _folder: folder,
        }
    }

    async fn get(&self, path: &str) -> String {
        let response = client().get(format!("{}{path}", self.address)).send().await;
        let response = response.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {text:.2000}");
        text
    }

    /// The dead letter with that case.
    async fn find(&self, name: &str) -> DeadLetterId {
        let path = format!("/api/v1/dead-letters?filter=header.{CASE}:{name}");
        let url = format!("{}{path}", self.address);
        eventually("the dead letter is found by a header", async || {
            let answer = client().get(&url).send().await.ok()?;
            let answer: Value = answer.json().await.ok()?;
            let items = answer["items"].as_array()?;
            assert!(items.len() < 2, "{name}: {answer}");
            Some(DeadLetterId(items.first()?["id"].as_i64()?))
        })
        .await
    }

    async fn shell(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redrive"));
        command.args(["dead-letters", "--url", &self.address]);
        let output: Output = command.args(arguments).output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Nothing that a terminal or a browser would follow.
fn is_harmless(name: &str, text: &str) {
    let acts = |character: char| {
        let reorders =
            matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        reorders || character.is_control() && !matches!(character, '\n' | '\t')
    };
    let found = text.char_indices().find(|(_, character)| acts(*character));
    if let Some((at, character)) = found {
        let around: String = text[..at].chars().rev().take(80).collect();
        panic!("{name}: {character:?} after {around:?} (backwards)");
    }
}

fn is_a_harmless_page(name: &str, page: &str) {
    assert!(page.len() < LARGEST_PAGE, "{name}: {} bytes", page.len());
    is_harmless(name, page);
    for markup in ["<script>", "<img", "</pre><", "\" onmouseover", "<!--"] {
        let is_ours = markup == "</pre><" && !page.contains("</pre><script");
        assert!(is_ours || !page.contains(markup), "{name}: {markup}");
    }
}

async fn is_looked_at(service: &Service, hostile: &Hostile, stored: &Message) {
    let name = hostile.name;
    let id = service.find(name).await;
    for form in PAGES {
        let page = service.get(&format!("/dead-letters/{id}{form}")).await;
        is_a_harmless_page(name, &page);
    }
    for list in [
        "/dead-letters",
        "/dead-letters/by/exception",
        "/dead-letters/by/type",
    ] {
        is_a_harmless_page(name, &service.get(list).await);
    }
    let list = format!("/dead-letters/list?filter=id:{id}");
    is_a_harmless_page(name, &service.get(&list).await);
    let id = id.to_string();
    let shown = service.shell(&["--json", "show", &id]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let headers = shown["headers"].as_array().unwrap();
    assert_eq!(headers.len(), stored.headers.len(), "{name}");
    is_harmless(name, &service.shell(&["show", &id]).await);
    is_harmless(name, &service.shell(&["list"]).await);
    let filter = format!("id:{id}");
    let exported = service.shell(&["export", "--filter", &filter]).await;
    let exported = ExportedDeadLetter::parse(exported.as_bytes()).unwrap();
    assert!(exported.message == *stored, "{name} is exported otherwise");
}

/// What the dead-lettering added, which a replay leaves behind.
fn is_of_the_death(header: &Header) -> bool {
    header.name.starts_with(b"x-error-") || header.name.starts_with(b"x-original-")
}

#[tokio::test]
async fn hostile_records_of_kafka_are_shown_and_sent_back_as_they_came() {
    let limit = [("max.message.bytes", LARGEST_RECORD)];
    let origin = new_topic("hostile", 1, &limit).await;
    let dlq = TopicName::new(format!("{origin}.dlq"));
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    admin.create_topic(&dlq, 1, &limit).await.unwrap();
    let producer = ReplayProducer::new(&kafka(), Duration::from_secs(30)).unwrap();
    let mut all = for_any_broker();
    all.extend(for_kafka());
    for hostile in &mut all {
        let headers = &mut hostile.message.headers;
        if headers.iter().all(|header| header.name != "x-error-class") {
            headers.push(Header::text("x-error-class", "Hostile"));
        }
        headers.push(Header::text("x-original-topic", origin.as_str()));
        headers.push(Header::text("x-original-partition", "0"));
        let sent = producer.send(&dlq, Partition(0), &hostile.message).await;
        sent.unwrap_or_else(|error| panic!("{}: {error}", hostile.name));
    }
    let sections = format!(
        "[dead_letters]\nkafka_topics = ['{dlq}']\nbody_limit_bytes = {LARGEST_RECORD}\n{}",
        kafka_section()
    );
    let service = Service::start(&sections).await;
    for hostile in &all {
        is_looked_at(&service, hostile, &hostile.message).await;
    }
    are_sent_back(&service, &all, &origin).await;
    admin.delete_topic(&dlq).await.unwrap();
    admin.delete_topic(&origin).await.unwrap();
}

async fn are_sent_back(service: &Service, all: &[Hostile], origin: &TopicName) {
    let mut ids = Vec::new();
    for hostile in all {
        ids.push(service.find(hostile.name).await.0);
    }
    let api = format!("{}/api/v1", service.address);
    let answer = post_replays(&api, &json!({ "dead_letter_ids": ids })).await;
    let answer: Value = answer.unwrap().json().await.unwrap();
    assert_eq!(answer["refused_count"], 0, "{answer}");
    let admin = KafkaAdmin::new(&kafka()).unwrap();
    eventually("all are sent", async || {
        let end = admin.watermarks(origin, Partition(0)).await.unwrap().high;
        (usize::try_from(end.0).unwrap() == all.len()).then_some(())
    })
    .await;
    let records = records_in(origin, Partition(0)).await;
    for hostile in all {
        let sent = Header::text(CASE, hostile.name);
        let mut sent = records
            .iter()
            .filter(|record| record.message.headers.contains(&sent));
        let (Some(record), None) = (sent.next(), sent.next()) else {
            panic!("{} was not sent once", hostile.name);
        };
        is_the_same(hostile, &record.message);
    }
}

/// A replay's own headers follow those of the message.
fn is_the_same(hostile: &Hostile, sent: &Message) {
    let name = hostile.name;
    assert_eq!(sent.key, hostile.message.key, "{name}");
    assert!(sent.body == hostile.message.body, "{name} has another body");
    let headers = hostile.message.headers.iter();
    let kept: Vec<&Header> = headers.filter(|header| !is_of_the_death(header)).collect();
    let carried: Vec<&Header> = sent.headers.iter().take(kept.len()).collect();
    assert!(carried == kept, "{name} has other headers");
    for added in &sent.headers[kept.len()..] {
        let added = added.name_lossy();
        assert!(added.starts_with("x-replay-"), "{name}: {added}");
    }
}

#[tokio::test]
async fn hostile_messages_of_rabbitmq_are_taken_and_shown() {
    let vhost = Vhost::create().await;
    let queue = QueueName::new(unique("hostile"));
    let channel = vhost.channel().await;
    channel.declare_queue(&queue, &[]).await.unwrap();
    let all = for_any_broker();
    for hostile in &all {
        let message = Message {
            key: None,
            ..hostile.message.clone()
        };
        channel
            .publish(&default_exchange(), queue.as_str(), &message)
            .await
            .unwrap();
    }
    let mut client = RawClient::open(&vhost.name).await;
    client
        .publish(&queue, &ambiguous_table(), b"ambiguous")
        .await;
    let service = Service::start(&rabbitmq_section(&vhost, &queue)).await;
    for hostile in &all {
        // RabbitMQ has no keys, types for values, and an order of its own.
        let stored = service.exported(hostile.name).await;
        assert!(stored.body == hostile.message.body, "{}", hostile.name);
        assert_eq!(stored.headers.len(), hostile.message.headers.len());
        is_looked_at(&service, hostile, &stored).await;
    }
    let stored = service.exported("ambiguous").await;
    assert_eq!(stored.body.as_deref(), Some(&b"ambiguous"[..]));
    let names: Vec<String> = stored.headers.iter().map(Header::name_lossy).collect();
    assert!(names.contains(&"n??".to_owned()), "{names:?}");
    assert!(names.contains(&"twice".to_owned()), "{names:?}");
}

impl Service {
    async fn exported(&self, name: &str) -> Message {
        let id = self.find(name).await;
        let filter = format!("id:{id}");
        let line = self.shell(&["export", "--filter", &filter]).await;
        ExportedDeadLetter::parse(line.as_bytes()).unwrap().message
    }
}

/// One name twice, and one that is not UTF-8.
fn ambiguous_table() -> Vec<u8> {
    let field = |name: &[u8], value: &[u8]| [short(name), vec![b'S'], long(value)].concat();
    [
        field(CASE.as_bytes(), b"ambiguous"),
        field(b"twice", b"1"),
        field(b"twice", b"2"),
        field(b"n\xff\xfe", b"\xff"),
    ]
    .concat()
}

fn rabbitmq_section(vhost: &Vhost, queue: &QueueName) -> String {
    let config = vhost.config();
    let (amqp, management) = (config.amqp_url.expose(), config.management_url.expose());
    let prometheus = required("REDRIVE_TEST_RABBITMQ_PROMETHEUS_URL");
    format!(
        "[[rabbitmq]]\nname = 'rabbitmq'\namqp_url = '{amqp}'\nmanagement_url = '{management}'\n\
         prometheus_url = '{prometheus}'\n[[rabbitmq.queues]]\nvhost = '{}'\nname = '{queue}'\n\
         custody = 'managed'\n",
        vhost.name
    )
}
