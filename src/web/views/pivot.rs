//! Open dead letters by exception, source, event type, consumer or DLQ.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::dead_letter_list::parse_filter;
use super::failure_groups::Choice;
use super::frame::NavigationEntry;
use crate::domain::{PivotField, Timestamp};
use crate::store::{PIVOTED, Pivot, PivotRow};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup;
use crate::web::parameters::{Parameters, list_url};
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

struct Row {
    value: String,
    /// The list of its dead letters; empty where no filter asks for them.
    href: String,
    groups_href: String,
    open: Markup,
    groups: Markup,
    last: Markup,
}

#[derive(Template)]
#[template(path = "pivot.html")]
struct PivotPage {
    label: &'static str,
    sentence: String,
    filter: String,
    filter_error: String,
    filter_action: String,
    known: Vec<String>,
    list: String,
    fields: Vec<Choice>,
    rows: Vec<Row>,
}

pub(crate) async fn pivot(
    State(state): State<AppState>,
    Path(field): Path<String>,
    visit: Visit,
) -> Result<Response, Problem> {
    let field = known_field(&field)?;
    let content = PivotPage::load(&state, &visit, field).await?;
    visit.page(
        &state,
        NavigationEntry::DeadLetters,
        "Dead letters",
        &content,
    )
}

pub(crate) fn known_field(text: &str) -> Result<PivotField, Problem> {
    PivotField::parse(text).ok_or_else(|| {
        let words = PivotField::ALL.map(PivotField::as_str).join(", ");
        Problem::not_found(format!("dead letters are counted by one of {words}"))
    })
}

impl PivotPage {
    async fn load(state: &AppState, visit: &Visit, field: PivotField) -> Result<Self, Problem> {
        let (filter, filter_error) = parse_filter(visit);
        let pivot = match &filter {
            Some(filter) => state.store.pivot(field, filter, visit.now).await?,
            None => Pivot::default(),
        };
        let text = visit.query.get("filter").unwrap_or("");
        Ok(Self {
            label: field.label(),
            sentence: sentence(&pivot),
            filter: text.to_owned(),
            filter_error,
            filter_action: path_of(field),
            known: state.store.suggested_terms().await?,
            list: list_url(text),
            fields: pivot_choices(text, Some(field)),
            rows: pivot
                .rows
                .iter()
                .map(|found| row(field, text, found, visit.now))
                .collect(),
        })
    }
}

fn sentence(pivot: &Pivot) -> String {
    if pivot.looked_at >= u64::from(PIVOTED) {
        let looked_at = markup::thousands(pivot.looked_at);
        return format!("The newest {looked_at} open dead letters; there are more.");
    }
    let open = markup::counted(pivot.looked_at, "dead letter", "dead letters");
    format!("{open} open.")
}

fn row(field: PivotField, filter: &str, found: &PivotRow, now: Timestamp) -> Row {
    let value = found
        .value
        .as_deref()
        .filter(|value| field.can_be_asked(value));
    let narrowed = value.map(|value| format!("{filter} {}", field.term(value)));
    let narrowed = narrowed.map(|text| text.trim().to_owned());
    Row {
        href: narrowed
            .as_ref()
            .map_or_else(String::new, |text| list_url(&format!("{text} status:open"))),
        groups_href: narrowed.map_or_else(String::new, |text| {
            Parameters::default()
                .with("filter", &text)
                .url("/dead-letters")
        }),
        value: found
            .value
            .clone()
            .unwrap_or_else(|| "(unknown)".to_owned()),
        open: markup::count(found.open),
        groups: markup::count(found.groups),
        last: markup::ago(found.last_death, now),
    }
}

/// The ways to look at dead letters by failure or by a field, with the filter kept.
pub(super) fn pivot_choices(filter: &str, current: Option<PivotField>) -> Vec<Choice> {
    let filter = Parameters::default().with("filter", filter);
    let by_failure = Choice {
        label: "Failure group",
        href: filter.url("/dead-letters"),
        is_current: current.is_none(),
    };
    let choice = |field: PivotField| Choice {
        label: match field {
            PivotField::Exception => "Exception",
            PivotField::Source => "Source",
            PivotField::EventType => "Event type",
            PivotField::Consumer => "Consumer",
            PivotField::Dlq => "DLQ",
        },
        href: filter.url(&path_of(field)),
        is_current: current == Some(field),
    };
    std::iter::once(by_failure)
        .chain(PivotField::ALL.map(choice))
        .collect()
}

fn path_of(field: PivotField) -> String {
    format!("/dead-letters/by/{}", field.as_str())
}
