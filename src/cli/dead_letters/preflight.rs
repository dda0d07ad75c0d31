//! What a replay would do, for people.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::terminal::{table, visible};
use crate::domain::Destination;
use crate::web::markup::{counted, thousands};

/// Events that are listed; the numbers above are of all.
const EVENTS: usize = 100;

/// The numbers, who receives the events, and each of the first events.
pub(super) fn for_people(judged: &Value) -> String {
    let mut text = numbers(judged);
    for audience in judged["audiences"].as_array().into_iter().flatten() {
        text.push_str(&receivers(audience));
    }
    for caution in judged["cautions"].as_array().into_iter().flatten() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "Careful. {}", text_of(caution));
    }
    text.push_str(&events(judged));
    text
}

fn numbers(judged: &Value) -> String {
    let count = |field: &str| judged[field].as_u64().unwrap_or(0);
    let mut parts = vec![
        format!("{} selected", thousands(count("matching"))),
        format!("{} will be sent", thousands(count("eligible"))),
    ];
    if count("already_replayed") > 0 {
        let before = thousands(count("already_replayed"));
        parts.push(format!("{before} of them were sent before"));
    }
    for (kind, count) in judged["refused"].as_object().into_iter().flatten() {
        let count = thousands(count.as_u64().unwrap_or(0));
        parts.push(format!("{count} refused: {}", kind.replace('_', " ")));
    }
    format!("{}\n", parts.join("; "))
}

fn receivers(audience: &Value) -> String {
    let events = audience["events"].as_u64().unwrap_or(0);
    let cluster = text_of(&audience["destination"]["cluster"]);
    let name = text_of(&audience["name"]);
    let events = counted(events, "event", "events");
    let mut text = format!("to {name} on {cluster}: {events}\n");
    let recipients = audience["recipients"].as_array();
    if audience["known"] == false {
        text.push_str("  who else sees them is not known: this broker has not been sampled\n");
    } else if recipients.is_none_or(Vec::is_empty) {
        text.push_str("  nobody reads it now; the events wait there\n");
    }
    for recipient in recipients.into_iter().flatten() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {}", reader(recipient));
    }
    text
}

/// `group billing, 2 members, failed on them`.
fn reader(recipient: &Value) -> String {
    let name = text_of(&recipient["name"]);
    if recipient["kind"] == "group" {
        let members = recipient["members"].as_u64();
        let members = members.map_or_else(
            || "has members".to_owned(),
            |members| counted(members, "member", "members"),
        );
        let failed = recipient["failed"].as_bool().unwrap_or(false);
        let failed = if failed { ", failed on them" } else { "" };
        return format!("group {name}, {members}{failed}");
    }
    match recipient["consumers"].as_u64() {
        Some(consumers) => format!(
            "queue {name}, {}",
            counted(consumers, "consumer", "consumers")
        ),
        None => format!("queue {name}"),
    }
}

fn events(judged: &Value) -> String {
    let events = judged["events"].as_array().into_iter().flatten();
    let rows: Vec<_> = events.take(EVENTS).map(row).collect();
    let shown = rows.len() as u64;
    let mut text = table(&["ID", "SENDS", "TO", "REMARKS"], &rows, usize::MAX);
    let hidden = judged["matching"]
        .as_u64()
        .unwrap_or(0)
        .saturating_sub(shown);
    if hidden > 0 {
        let _ = writeln!(text, "and {} more", thousands(hidden));
    }
    text
}

fn row(event: &Value) -> Vec<String> {
    let mut remarks: Vec<String> = Vec::new();
    remarks.extend(event["refusal"]["reason"].as_str().map(visible));
    if event["replayed_before"] == true && event["refusal"].is_null() {
        remarks.push("sent before".to_owned());
    }
    let warnings = event["warnings"].as_array().into_iter().flatten();
    remarks.extend(warnings.map(text_of));
    let sends = match event["revision"].as_u64() {
        _ if !event["refusal"].is_null() => "nothing".to_owned(),
        Some(0) | None => "the original".to_owned(),
        Some(revision) => format!("revision {revision}"),
    };
    vec![
        event["dead_letter_id"].to_string(),
        sends,
        destination(&event["destination"]),
        remarks.join("; "),
    ]
}

/// A destination in the words of the pages; `-` without one.
pub(super) fn destination(value: &Value) -> String {
    match serde_json::from_value::<Destination>(value.clone()) {
        Ok(destination) => visible(&destination.to_string()),
        Err(_) => "-".to_owned(),
    }
}

fn text_of(value: &Value) -> String {
    visible(value.as_str().unwrap_or("-"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_tells_what_goes_where_and_what_does_not() {
        let orders = json!({"system": "kafka", "cluster": "k", "topic": "orders", "partition": 1});
        let judged = json!({
            "matching": 1203, "eligible": 1, "already_replayed": 1,
            "refused": {"no_destination": 1202},
            "audiences": [{"destination": orders, "name": "topic orders", "events": 1, "known": true,
                "recipients": [{"kind": "group", "name": "billing", "members": 2, "failed": true}]}],
            "cautions": ["It can expire"],
            "events": [
                {"dead_letter_id": 7, "revision": 2, "replayed_before": true, "destination": orders,
                 "refusal": null, "warnings": ["not checked"]},
                {"dead_letter_id": 8, "revision": 0, "replayed_before": false, "destination": null,
                 "refusal": {"kind": "no_destination", "reason": "its headers\ndo not tell"},
                 "warnings": []},
            ],
        });
        let expected = "1,203 selected; 1 will be sent; 1 of them were sent before; \
             1,202 refused: no destination\n\
             to topic orders on k: 1 event\n  group billing, 2 members, failed on them\n\
             Careful. It can expire\n\
             ID  SENDS       TO                         REMARKS\n\
             7   revision 2  topic orders, partition 1  sent before; not checked\n\
             8   nothing     -                          its headers\\u{a}do not tell\n\
             and 1,201 more\n";
        assert_eq!(for_people(&judged), expected);
    }
}
