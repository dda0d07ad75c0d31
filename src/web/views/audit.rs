use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::frame::NavigationEntry;
use crate::domain::Timestamp;
use crate::store::{AuditEntry, AuditFilter, AuditHead, Page, PageRequest};
use crate::web::AppState;
use crate::web::audit_filter::audit_filter;
use crate::web::escape::Markup;
use crate::web::markup;
use crate::web::parameters::Parameters;
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

/// The newest entry, of which a copy elsewhere proves what came before it.
struct Head {
    seq: i64,
    hash: Markup,
}

/// The filter as it was typed.
struct Typed {
    actor: String,
    action: String,
    since: String,
    until: String,
    /// Why it is none.
    error: String,
    is_empty: bool,
}

/// Who did what to which events.
#[derive(Template)]
#[template(path = "audit.html")]
pub(crate) struct Audit {
    head: Option<Head>,
    typed: Typed,
    actions: Vec<String>,
    export_ndjson: String,
    export_csv: String,
    entries: Vec<Entry>,
    newest: String,
    older: String,
}

pub(crate) async fn audit(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let content = Audit::load(&state, &visit).await?;
    visit.page(&state, NavigationEntry::Audit, "Audit", &content)
}

impl Audit {
    async fn load(state: &AppState, visit: &Visit) -> Result<Self, Problem> {
        let request = PageRequest {
            limit: ROWS,
            cursor: visit.query.get("cursor").map(str::to_owned),
        };
        let (filter, error) = match audit_filter(&visit.query) {
            Ok(filter) => (Some(filter), String::new()),
            Err(error) => (None, error),
        };
        let page = match &filter {
            Some(filter) => state.store.audit(filter, &request).await?,
            None => Page::empty(),
        };
        let older = page
            .next_cursor
            .map(|cursor| visit.url_with("cursor", &cursor));
        let newest = request.cursor.map(|_| visit.url_with("cursor", ""));
        let entries = page.items.into_iter();
        Ok(Self {
            head: state.store.audit_head().await?.as_ref().map(Head::of),
            typed: Typed::of(&visit.query, filter.as_ref(), error),
            actions: state.store.audit_actions().await?,
            export_ndjson: export(&visit.query, "ndjson"),
            export_csv: export(&visit.query, "csv"),
            entries: entries.map(|entry| Entry::of(entry, visit.now)).collect(),
            newest: newest.unwrap_or_default(),
            older: older.unwrap_or_default(),
        })
    }
}

/// The file with all entries of this view.
fn export(query: &Parameters, format: &str) -> String {
    let names = ["actor", "action", "since", "until"];
    let filter = names.into_iter().fold(Parameters::default(), |kept, name| {
        kept.with(name, query.get(name).unwrap_or_default())
    });
    filter.with("format", format).url("/api/v1/audit/export")
}

impl Head {
    fn of(head: &AuditHead) -> Self {
        Self {
            seq: head.seq,
            hash: markup::identifier(&head.hash),
        }
    }
}

impl Typed {
    fn of(query: &Parameters, filter: Option<&AuditFilter>, error: String) -> Self {
        let text = |name: &str| query.get(name).unwrap_or("").to_owned();
        Self {
            actor: text("actor"),
            action: text("action"),
            since: text("since"),
            until: text("until"),
            error,
            is_empty: filter == Some(&AuditFilter::default()),
        }
    }
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
