//! All dialects over one message: what they read is bounded and survives the store, and a replay carries
//! every header that none of them gives a reason to leave out.

use std::collections::HashMap;

use redrive::config::Config;
use redrive::dead_letters::from_export;
use redrive::dialects::{
    HeaderMeanings, decode, event_type_of_framework, headers_stripped_on_replay, pointed_to,
    previous_deaths, previous_error, properties_on_replay, readable, title_of_dialect, unwrapped,
};
use redrive::domain::{
    Custody, DeadLetterStatus, Decoded, EXPORT_FORMAT, ExportedDeadLetter, Header, HeaderValue,
    LastDeath, Message, NewDeadLetter, Position, System, Timestamp,
};

use crate::letters;

/// 2026-11-29, so that an input does the same on every day.
pub(crate) const NOW: Timestamp = Timestamp(1_795_910_400_000);

/// As the head of `src/dialects` promises.
const MOST_HOPS: usize = 100;

/// One stack trace, what each hop may say at most, and six bytes of JSON for one of text.
const LONGEST_DECODED: usize = 6 * (64 * 1024 + MOST_HOPS * 20 * 1024);

pub(crate) fn run(input: &[u8]) {
    let (position, message) = letters::read(input);
    let decoded = decode(&position, &message);
    is_bounded_and_storable(&decoded);
    replay_carries_the_rest(position.system(), &message);
    envelope_is_told(&message, &decoded);
    is_grouped(&position, &message, &decoded);
    let meanings = HeaderMeanings::on(position.system(), &message);
    for header in &message.headers {
        let _ = meanings.of(&header.name);
    }
    let _ = (pointed_to(&message), event_type_of_framework(&message));
}

fn is_bounded_and_storable(decoded: &Decoded) {
    assert!(decoded.hops.len() <= MOST_HOPS);
    let stored = serde_json::to_string(decoded).expect("it is JSON");
    assert!(stored.len() <= LONGEST_DECODED, "{} bytes", stored.len());
    let read: Decoded = serde_json::from_str(&stored).expect("it is read back");
    assert_eq!(&read, decoded);
    for hop in &decoded.hops {
        let title = title_of_dialect(&hop.dialect);
        assert_ne!(title, hop.dialect, "a hop of no known dialect");
    }
    if let Some(error) = previous_error(&LastDeath::from(decoded)) {
        assert!(error.len() <= 2 * 1024);
        serde_json::from_str::<serde_json::Value>(&error).expect("it is JSON");
    }
}

fn replay_carries_the_rest(system: System, message: &Message) {
    if let Some(deaths) = previous_deaths(message) {
        assert!(deaths.len() <= 4 * 1024);
        serde_json::from_str::<serde_json::Value>(&deaths).expect("it is JSON");
    }
    let stripped = headers_stripped_on_replay(system, message);
    let ascend = |pair: &[usize]| pair[0] < pair[1];
    let places: Vec<usize> = stripped.iter().map(|one| one.index).collect();
    assert!(places.windows(2).all(ascend));
    let changes: HashMap<usize, Option<HeaderValue>> = stripped
        .into_iter()
        .map(|one| (one.index, one.instead))
        .collect();
    let mut carried = message.clone();
    let headers = message.headers.iter().enumerate();
    let on_replay = |(index, header): (usize, &Header)| match changes.get(&index) {
        None => Some(header.clone()),
        Some(instead) => Some(Header {
            name: header.name.clone(),
            value: instead.clone()?,
        }),
    };
    carried.headers = headers.filter_map(on_replay).collect();
    let lost = message.headers.len() - carried.headers.len();
    assert!(lost <= changes.len());
    // What one replay carries, the next carries too.
    let again = headers_stripped_on_replay(system, &carried);
    let left_out = again.iter().find(|one| one.instead.is_none());
    assert_eq!(left_out, None, "of {:?}", carried.headers);
    if let Some(properties) = &message.properties {
        let (first, _) = properties_on_replay(properties, "guest");
        let (second, changes) = properties_on_replay(&first, "guest");
        assert_eq!((&first, changes), (&second, Vec::new()));
    }
}

fn envelope_is_told(message: &Message, decoded: &Decoded) {
    let envelope = unwrapped(message).map(|(_, envelope)| envelope);
    if let (Some(told), Some(found)) = (decoded.envelope, envelope) {
        assert_eq!(told, found);
    }
    let _ = readable(message);
}

/// What intake and import do with every message.
fn is_grouped(position: &Position, message: &Message, decoded: &Decoded) {
    let line = exported(position, message);
    let letter = from_export(&line, &Config::default(), NOW);
    assert_eq!(&letter.message, message);
    assert!(letter.dead_at <= NOW);
    assert!(letter.classification.title.len() <= 8 * 1024);
    assert_eq!(letter.decoded.hops, decoded.hops);
    let again: NewDeadLetter = from_export(&line, &Config::default(), NOW);
    assert_eq!(again.classification, letter.classification);
    let stored = serde_json::to_string(message).expect("it is JSON");
    let read: Message = serde_json::from_str(&stored).expect("it is read back");
    assert_eq!(&read, message);
}

/// The message as a line of an export.
pub(crate) fn exported(position: &Position, message: &Message) -> ExportedDeadLetter {
    ExportedDeadLetter {
        format: EXPORT_FORMAT.to_owned(),
        origin: "somewhere/1".to_owned(),
        cluster: "main".into(),
        position: position.clone(),
        dead_at: NOW,
        status: DeadLetterStatus::Open,
        custody: Custody::Store,
        message: message.clone(),
        body_omitted: None,
        revisions: Vec::new(),
        masked: false,
    }
}
