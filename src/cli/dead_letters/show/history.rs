//! What happened to a dead letter, oldest first, as its page tells it.

use serde_json::Value;

use super::plain;
use crate::domain::{Destination, Timestamp};

/// A death without a time comes first.
const NO_TIME: &str = "-";

struct Happening {
    at: String,
    what: String,
    /// May be empty.
    detail: String,
}

/// A line each: when, what, and what is known of it.
pub(super) fn for_people(letter: &Value) -> String {
    let history = &letter["history"];
    let items = |name: &str| history[name].as_array().into_iter().flatten();
    let mut all: Vec<_> = items("deaths").map(death).collect();
    all.reverse();
    all.push(arrival(letter));
    if !history["replay_of"].is_null() {
        all.push(predecessor(letter));
    }
    all.extend(items("revisions").map(edit));
    all.extend(items("replays").map(replay));
    if !history["discard"].is_null() {
        all.push(discard(&history["discard"]));
    }
    all.extend(items("notes").map(note));
    all.sort_by(|a, b| order(a).cmp(order(b)));
    all.iter().map(line).collect()
}

/// Times of RFC 3339 in UTC sort as text.
fn order(happening: &Happening) -> &str {
    match happening.at.as_str() {
        NO_TIME => "",
        at => at,
    }
}

fn line(happening: &Happening) -> String {
    let Happening { at, what, detail } = happening;
    if detail.is_empty() {
        return format!("  {at:24}  {what}\n");
    }
    format!("  {at:24}  {what}: {detail}\n")
}

fn happening(at: &Value, what: String, detail: &Value) -> Happening {
    Happening {
        at: plain(at),
        what,
        detail: plain_or_empty(detail),
    }
}

fn plain_or_empty(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        value => plain(value),
    }
}

fn death(hop: &Value) -> Happening {
    let millis = hop["last_failed_at"].as_i64();
    let at = millis.or(hop["first_failed_at"].as_i64());
    let place = hop["origin"]["destination"].as_str();
    let times = match hop["attempts"][0].as_u64() {
        Some(count) if count > 1 => format!(", {count} times"),
        _ => String::new(),
    };
    let failure = &hop["failure"];
    let class = plain_or_empty(&failure["class"]);
    let message = plain_or_empty(&failure["message"]);
    let parts = [class, message].into_iter().filter(|part| !part.is_empty());
    Happening {
        at: at.map_or(NO_TIME.to_owned(), |millis| Timestamp(millis).to_rfc3339()),
        what: format!(
            "died in {}{times}",
            plain(&place.unwrap_or("an unknown place").into())
        ),
        detail: parts.collect::<Vec<_>>().join(": "),
    }
}

fn arrival(letter: &Value) -> Happening {
    let what = format!("arrived in {}", plain(&letter["dlq"]));
    let keeper = match letter["custody"].as_str() {
        Some("store") => "the store keeps the message",
        _ => "the broker keeps the message",
    };
    happening(&letter["indexed_at"], what, &keeper.into())
}

fn predecessor(letter: &Value) -> Happening {
    let of = &letter["history"]["replay_of"];
    let what = format!("is the replay of dead letter {of}");
    happening(&letter["dead_at"], what, &Value::Null)
}

fn edit(revision: &Value) -> Happening {
    let (number, author) = (&revision["number"], plain(&revision["author"]));
    let what = format!("edited by {author}, revision {number}");
    happening(&revision["created_at"], what, &revision["note"])
}

fn replay(event: &Value) -> Happening {
    let revision = match event["revision"].as_u64() {
        Some(0) | None => "unedited".to_owned(),
        Some(number) => format!("revision {number}"),
    };
    let destination = serde_json::from_value::<Destination>(event["destination"].clone());
    let destination = destination.map_or("an unknown place".to_owned(), |d| d.to_string());
    let what = format!(
        "replay {} ({revision}) to {}, {}",
        event["attempt"],
        plain(&destination.into()),
        plain(&event["state"]).replace('_', " ")
    );
    happening(&event["updated_at"], what, &event["evidence"])
}

fn discard(discard: &Value) -> Happening {
    let what = format!(
        "discarded by {}, expires {}",
        plain(&discard["by"]),
        plain(&discard["expires_at"])
    );
    happening(&discard["at"], what, &discard["reason"])
}

fn note(note: &Value) -> Happening {
    let what = format!("note of {} on its failure group", plain(&note["author"]));
    happening(&note["created_at"], what, &note["text"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_history_is_told_in_order() {
        let letter = json!({
            "dlq": "orders.dlq", "custody": "store", "dead_at": "2026-11-25T09:00:00.000Z",
            "indexed_at": "2026-11-25T09:00:01.000Z",
            "history": {
                "deaths": [
                    {"origin": {"destination": "orders"}, "failure": {"class": "Timeout", "message": "late\u{1b}"},
                     "attempts": [3, "deliveries"], "last_failed_at": 1_764_061_200_000_i64},
                    {"origin": {"destination": "retry"}, "failure": {}, "attempts": null, "last_failed_at": null},
                    {"origin": {}, "failure": {}, "attempts": null, "last_failed_at": null},
                ],
                "replay_of": 7,
                "revisions": [{"number": 1, "author": "ada", "created_at": "2026-11-25T10:00:00.000Z", "note": null}],
                "replays": [{
                    "revision": 1, "attempt": 2, "state": "died_again", "evidence": "came back",
                    "destination": {"system": "kafka", "cluster": "k", "topic": "orders", "partition": null},
                    "updated_at": "2026-11-25T11:00:00.000Z",
                }],
                "discard": {"by": "bob", "at": "2026-11-25T12:00:00.000Z", "reason": "known",
                            "expires_at": "2026-12-25T12:00:00.000Z"},
                "notes": [{"author": "eve", "created_at": "2026-11-25T10:30:00.000Z", "text": "soon"}],
            },
        });
        let text = for_people(&letter);
        assert_eq!(
            text,
            "  -                         died in an unknown place\n  \
               -                         died in retry\n  \
               2025-11-25T09:00:00.000Z  died in orders, 3 times: Timeout: late\\u{1b}\n  \
               2026-11-25T09:00:00.000Z  is the replay of dead letter 7\n  \
               2026-11-25T09:00:01.000Z  arrived in orders.dlq: the store keeps the message\n  \
               2026-11-25T10:00:00.000Z  edited by ada, revision 1\n  \
               2026-11-25T10:30:00.000Z  note of eve on its failure group: soon\n  \
               2026-11-25T11:00:00.000Z  replay 2 (revision 1) to topic orders, died again: came back\n  \
               2026-11-25T12:00:00.000Z  discarded by bob, expires 2026-12-25T12:00:00.000Z: known\n"
        );
    }
}
