use std::fmt::Write as _;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use super::download::{self, Download};
use super::list::{List, page_request, time};
use crate::store::{AuditEntry, AuditFilter, Store, StoreError};
use crate::web::AppState;
use crate::web::audit_filter::audit_filter;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// Entries of an export that are in memory at once.
const EXPORT_CHUNK: u32 = 200;

#[derive(Debug, Serialize)]
pub(super) struct Entry {
    seq: i64,
    at: String,
    actor: String,
    address: String,
    action: String,
    detail: Value,
    previous_hash: String,
    hash: String,
}

/// The newest entry; its hash is what `redrive audit verify --head` takes.
#[derive(Debug, Serialize)]
pub(super) struct Head {
    seq: i64,
    hash: String,
}

/// The forms of an export.
#[derive(Clone, Copy, Debug)]
enum Format {
    Ndjson,
    Csv,
}

/// Who did what, the newest first.
pub(super) async fn list(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Json<List<Entry>>, Problem> {
    let (filter, request) = (filter(&visit)?, page_request(&visit)?);
    let page = state.store.audit(&filter, &request).await?;
    Ok(Json(List::of(page, Entry::of)))
}

/// The newest entry, null while there is none.
pub(super) async fn head(State(state): State<AppState>) -> Result<Json<Option<Head>>, Problem> {
    let head = state.store.audit_head().await?;
    Ok(Json(head.map(|head| Head {
        seq: head.seq,
        hash: head.hash,
    })))
}

/// Everything that matches, the oldest first, as a file.
pub(super) async fn export(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let filter = filter(&visit)?;
    let (format, media_type, name) = match visit.query.get("format").unwrap_or("ndjson") {
        "ndjson" => (Format::Ndjson, download::NDJSON, "audit.ndjson"),
        "csv" => (Format::Csv, "text/csv; charset=utf-8", "audit.csv"),
        other => {
            return Err(Problem::bad_request(format!(
                "format={other} is none of ndjson, csv"
            )));
        }
    };
    let first = match format {
        Format::Ndjson => String::new(),
        Format::Csv => "seq,at,actor,address,action,detail,previous_hash,hash\r\n".to_owned(),
    };
    let chunks = move |after: i64| next_chunk(state.store.clone(), filter.clone(), format, after);
    Ok(Download { media_type, name }.of(first, 0, chunks))
}

fn filter(visit: &Visit) -> Result<AuditFilter, Problem> {
    audit_filter(&visit.query).map_err(Problem::bad_request)
}

async fn next_chunk(
    store: Store,
    filter: AuditFilter,
    format: Format,
    after: i64,
) -> Result<Option<(String, i64)>, StoreError> {
    let entries = store.audit_after(&filter, after, EXPORT_CHUNK).await?;
    let Some(last) = entries.last().map(|entry| entry.seq) else {
        return Ok(None);
    };
    let mut text = String::new();
    for entry in entries.into_iter().map(Entry::of) {
        match format {
            Format::Ndjson => text.push_str(&download::json_line(&entry)),
            Format::Csv => push_csv_row(&mut text, &entry),
        }
    }
    Ok(Some((text, last)))
}

fn push_csv_row(text: &mut String, entry: &Entry) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{},{}", entry.seq, entry.at);
    let detail = entry.detail.to_string();
    let fields = [
        &entry.actor,
        &entry.address,
        &entry.action,
        &detail,
        &entry.previous_hash,
        &entry.hash,
    ];
    for field in fields {
        text.push(',');
        push_csv_field(text, field);
    }
    text.push_str("\r\n");
}

/// Quoted as RFC 4180 says. A spreadsheet would run what looks like a formula, so that gets an apostrophe
/// in front.
fn push_csv_field(text: &mut String, field: &str) {
    text.push('"');
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        text.push('\'');
    }
    text.push_str(&field.replace('"', "\"\""));
    text.push('"');
}

impl Entry {
    fn of(entry: AuditEntry) -> Self {
        Self {
            seq: entry.seq,
            at: time(entry.at),
            actor: entry.actor,
            address: entry.address,
            action: entry.action,
            detail: entry.detail,
            previous_hash: entry.previous_hash,
            hash: entry.hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_a_csv_file_is_quoted_and_never_a_formula() {
        let check = |field: &str, expected: &str| {
            let mut text = String::new();
            push_csv_field(&mut text, field);
            assert_eq!(text, expected);
        };
        check("a,b\n\"c\"", "\"a,b\n\"\"c\"\"\"");
        check("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\"");
        check("{\"a\":-1}", "\"{\"\"a\"\":-1}\"");
    }
}
