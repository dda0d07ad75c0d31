use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::frame::NavigationEntry;
use crate::domain::Timestamp;
use crate::store::{AuditEntry, PageRequest};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// Entries of one page.
const ROWS: u32 = 100;

struct Entry {
    seq: i64,
    at: Markup,
    clock: Markup,
    actor: String,
    address: String,
    action: String,
    summary: String,
    detail: String,
    hash: Markup,
}

/// Who did what to which events.
#[derive(Template)]
#[template(path = "audit.html")]
pub(crate) struct Audit {
    entries: Vec<Entry>,
    older: String,
}

pub(crate) async fn audit(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let request = PageRequest {
        limit: ROWS,
        cursor: visit.query.get("cursor").map(str::to_owned),
    };
    let page = state.store.audit(&request).await?;
    let older = page
        .next_cursor
        .map(|cursor| visit.url_with("cursor", &cursor));
    let content = Audit {
        entries: page
            .items
            .into_iter()
            .map(|entry| Entry::of(entry, visit.now))
            .collect(),
        older: older.unwrap_or_default(),
    };
    visit.page(&state, NavigationEntry::Audit, "Audit", &content)
}

impl Entry {
    fn of(entry: AuditEntry, now: Timestamp) -> Self {
        Self {
            seq: entry.seq,
            at: markup::ago(entry.at, now),
            clock: markup::clock(entry.at),
            summary: summary(&entry.detail),
            detail: serde_json::to_string_pretty(&entry.detail).unwrap_or_default(),
            hash: markup::identifier(&entry.hash),
            actor: entry.actor,
            address: entry.address,
            action: entry.action,
        }
    }
}

/// The scalar fields of a detail in one line; the rest is behind "show".
fn summary(detail: &serde_json::Value) -> String {
    let fields = detail.as_object().into_iter().flatten();
    let word = |(name, value): (&String, &serde_json::Value)| match value {
        serde_json::Value::String(text) => Some(format!("{name} {}", markup::cut_end(text, 80))),
        serde_json::Value::Number(number) => Some(format!("{name} {number}")),
        serde_json::Value::Array(items) => Some(format!("{} {name}", items.len())),
        _ => None,
    };
    fields
        .filter_map(word)
        .take(5)
        .collect::<Vec<_>>()
        .join(", ")
}
