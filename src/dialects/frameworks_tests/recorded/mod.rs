//! Dead letters that the frameworks wrote, beside the messages from which they came. The README in
//! `tests/fixtures/dialects` says how they were recorded.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use super::*;
use crate::domain::{DeathReason, ExchangeName};

mod kafka;
mod rabbitmq;

#[derive(Deserialize)]
struct Fixture {
    system: String,
    dlq: String,
    original: Message,
    dead: Message,
}

/// What must be read from a recorded dead letter, as far as the framework tells it.
#[derive(Default)]
struct Told<'a> {
    /// Of each hop, latest first.
    dialects: &'a [&'a str],
    from: &'a str,
    at: Option<(i32, i64)>,
    /// Exchange and routing key of the first publish.
    published: Option<(&'a str, &'a str)>,
    consumer: &'a str,
    endpoint: &'a str,
    class: &'a str,
    message: &'a str,
    stage: &'a str,
    reason: DeathReason,
    attempts: Option<(u64, AttemptsKind)>,
    /// Headers in which a replay differs from the original, because the framework keeps them or needs
    /// them otherwise.
    differ: &'a [&'a str],
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dialects/recorded")
}

fn recorded(name: &str) -> (System, Position, Fixture) {
    let text = fs::read_to_string(folder().join(name).with_extension("json")).unwrap();
    let fixture: Fixture = serde_json::from_str(&text).unwrap();
    let system = match fixture.system.as_str() {
        "kafka" => System::Kafka,
        _ => System::RabbitMq,
    };
    let (position, _) = dead(system, &fixture.dlq, &[]);
    (system, position, fixture)
}

fn check_recorded(name: &str, told: &Told<'_>) {
    let (system, position, fixture) = recorded(name);
    let found = decode(&position, &fixture.dead);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let dialects: Vec<&str> = found.hops.iter().map(|hop| hop.dialect.as_str()).collect();
    assert_eq!(dialects, told.dialects, "{name}");
    let origin = &found.origin;
    let exchange = origin.exchange.as_ref().map(ExchangeName::as_str);
    let key = origin.routing_keys.first().map(String::as_str);
    assert_eq!(
        (
            text(&origin.destination).as_str(),
            origin
                .partition
                .map(|p| p.0)
                .zip(origin.offset.map(|o| o.0)),
            exchange.zip(key),
            origin.consumer.as_ref().map_or("", ConsumerGroup::as_str),
            text(&origin.endpoint).as_str(),
        ),
        (
            told.from,
            told.at,
            told.published,
            told.consumer,
            told.endpoint
        ),
        "{name}"
    );
    let failure = &found.failure;
    assert_eq!(
        (
            text(&failure.class).as_str(),
            text(&failure.message).as_str(),
            text(&failure.stage).as_str(),
            found.reason,
            found.attempts,
        ),
        (
            told.class,
            told.message,
            told.stage,
            told.reason,
            told.attempts
        ),
        "{name}"
    );
    check_replay(name, system, &fixture, told.differ);
}

/// A replay carries the headers of the original, but for those in `differ`.
fn check_replay(name: &str, system: System, fixture: &Fixture, differ: &[&str]) {
    let mut carried = fixture.dead.headers.clone();
    for stripped in headers_stripped_on_replay(system, &fixture.dead)
        .iter()
        .rev()
    {
        match &stripped.instead {
            Some(value) => carried[stripped.index].value = value.clone(),
            None => drop(carried.remove(stripped.index)),
        }
    }
    let compared = |headers: &[Header]| {
        let is_same = |header: &&Header| !differ.contains(&header.name_lossy().as_str());
        let mut headers: Vec<Header> = headers.iter().filter(is_same).cloned().collect();
        // RabbitMQ and its clients give no order to the headers of a message.
        if system == System::RabbitMq {
            headers.sort_by(|a, b| a.name.cmp(&b.name));
        }
        headers
    };
    assert_eq!(
        compared(&carried),
        compared(&fixture.original.headers),
        "{name}"
    );
    for differing in differ {
        let has = |headers: &[Header]| {
            let named = headers
                .iter()
                .filter(|header| header.name_lossy() == **differing);
            named.map(|header| header.value.clone()).collect::<Vec<_>>()
        };
        assert_ne!(
            has(&carried),
            has(&fixture.original.headers),
            "{name}: {differing}"
        );
    }
}

/// Frameworks that leave the body alone do so here as well, so that a replay is the original again.
#[test]
fn bodies_and_keys_as_recorded_are_those_of_the_originals() {
    for name in names() {
        let (_, _, Fixture { original, dead, .. }) = recorded(&name);
        let same = (original.key, original.body) == (dead.key, dead.body);
        // Dramatiq counts in the body, and a share group may only point to the original.
        let is_other = ["dramatiq", "share-group-pointer"].contains(&name.as_str());
        assert_eq!(same, !is_other, "{name}");
    }
}

#[test]
fn every_recorded_dead_letter_has_its_case() {
    let cases = concat!(include_str!("kafka.rs"), include_str!("rabbitmq.rs"));
    for name in names() {
        assert!(
            cases.contains(&format!("\"{name}\"")),
            "no case reads {name}.json"
        );
    }
}

fn names() -> BTreeSet<String> {
    let files = fs::read_dir(folder()).unwrap();
    let stem = |file: fs::DirEntry| {
        file.path()
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    files.map(|file| stem(file.unwrap())).collect()
}
