//! Lines of an export that somebody else wrote: a dry run says what an import then does, the same line
//! twice is one dead letter, and what was imported can be looked at and exported again.

use std::cell::RefCell;

use axum::http::StatusCode;
use redrive::domain::{DeadLetterId, ExportedDeadLetter, Filter, Timestamp};
use serde_json::Value;

use crate::html;
use crate::site::Site;

/// A store that holds more makes an input slow.
const MOST_HELD: i64 = 300;

/// Ways to look at a dead letter.
const PAGES: [&str; 7] = [
    "",
    "?form=raw",
    "?form=hex",
    "?tab=error",
    "?tab=headers",
    "?tab=history",
    "?tab=trace",
];

thread_local! {
    static SITE: RefCell<Option<Site>> = const { RefCell::new(None) };
}

pub(crate) fn run(input: &[u8]) {
    SITE.with_borrow_mut(|site| {
        let used = site.get_or_insert_with(Site::new);
        if with_site(used, input) > DeadLetterId(MOST_HELD) {
            *site = None;
        }
    });
}

/// The newest dead letter after it.
fn with_site(site: &Site, lines: &[u8]) -> DeadLetterId {
    let newest = || {
        site.wait(site.store.newest_id())
            .expect("the store answers")
    };
    let before = newest();
    let first = import(site, lines, true);
    assert_eq!(import(site, lines, true), first, "a second dry run differs");
    assert_eq!(newest(), before, "a dry run stored something");
    let count = |answer: &Value, field: &str| answer[field].as_u64().expect("it is counted");
    let done = import(site, lines, false);
    for field in [
        "lines",
        "imported",
        "already_here",
        "reopened",
        "still_in_queue",
        "faulty",
    ] {
        assert_eq!(count(&done, field), count(&first, field), "{field}");
    }
    assert_eq!(done["faults"], first["faults"]);
    let after = newest();
    let stored = after.0 - before.0;
    assert_eq!(u64::try_from(stored).ok(), Some(count(&done, "imported")));
    if stored == 0 {
        return after;
    }
    let again = import(site, lines, true);
    assert_eq!(count(&again, "imported"), 0);
    assert_eq!(count(&again, "already_here"), count(&done, "lines"));
    look_at(site, after);
    is_exported_again(site, after, lines);
    after
}

fn import(site: &Site, lines: &[u8], dry_run: bool) -> Value {
    let path = format!("/api/v1/dead-letters/import?dry_run={dry_run}");
    let (status, answer) = site.post(&path, lines);
    assert_eq!(status, StatusCode::OK, "{answer}");
    let mut answer: Value = serde_json::from_str(&answer).expect("the API answers JSON");
    answer["dry_run"].take();
    answer
}

fn look_at(site: &Site, id: DeadLetterId) {
    for page in PAGES {
        let (status, page) = site.get(&format!("/dead-letters/{id}{page}"));
        assert_eq!(status, StatusCode::OK, "{page}");
        html::check(&page);
    }
    for list in ["list", "by/type", "by/correlation"] {
        html::check(&site.get(&format!("/dead-letters/{list}")).1);
    }
    html::check(&site.get("/dead-letters").1);
    // Without its whole body it cannot be edited.
    let (status, editor) = site.get(&format!("/dead-letters/{id}/edit"));
    let is_expected = [StatusCode::OK, StatusCode::CONFLICT].contains(&status);
    assert!(is_expected, "{status}: {editor}");
    let (status, answer) = site.get(&format!("/api/v1/dead-letters/{id}"));
    assert_eq!(status, StatusCode::OK, "{answer}");
    serde_json::from_str::<Value>(&answer).expect("the API answers JSON");
    let found = Filter::parse(&format!("id:{id}")).expect("it is a filter");
    let found = site.wait(site.store.matching_ids(&found, Timestamp::now(), 2));
    assert_eq!(found.ok().as_deref(), Some(&[id][..]));
}

/// The newest is the last of the lines that were new.
fn is_exported_again(site: &Site, id: DeadLetterId, lines: &[u8]) {
    let (_, line) = site.get(&format!("/api/v1/dead-letters/export?filter=id:{id}"));
    let mut exported = ExportedDeadLetter::parse(line.as_bytes()).expect("an export can be read");
    let lines = lines.split(|byte| *byte == b'\n');
    let mut parsed = lines.filter_map(|line| ExportedDeadLetter::parse(line).ok());
    let mut expected = parsed
        .find(|line| line.origin == exported.origin)
        .expect("it comes from one of the lines");
    expected.status = expected.status_after_import();
    // The future is taken for now, and what only points elsewhere says so.
    assert!(exported.dead_at <= expected.dead_at);
    exported.dead_at = expected.dead_at;
    exported.body_omitted.clone_from(&expected.body_omitted);
    assert_eq!(exported, expected);
}
