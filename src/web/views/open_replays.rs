//! Replays of all jobs that have no outcome yet: the unknown ones, where a person decides about one or about
//! all that match, and those that await their outcome.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::decision_form::{DecisionForm, seen_unknown};
use super::frame::NavigationEntry;
use super::preflight::actor;
use super::replay_actions::{parse_decision, parse_replay};
use super::replay_job::{EventRow, event_rows};
use super::replays::{Section, sections};
use crate::domain::{Filter, Replay};
use crate::replay::Decision;
use crate::store::{COUNTED, OpenOutcome, OpenReplays, Page, PageRequest};
use crate::web::AppState;
use crate::web::markup;
use crate::web::parameters::Parameters;
use crate::web::problem::Problem;
use crate::web::visit::{CheckedForm, Visit};

/// Replays of one page.
const ROWS: u32 = 50;

const UNKNOWN: &str = "/replays/unknown";
const AWAITING: &str = "/replays/awaiting";

/// A page of replays without an outcome.
#[derive(Template)]
#[template(path = "open_replays.html")]
struct OpenReplaysPage {
    title: &'static str,
    sentence: &'static str,
    sections: Vec<Section>,
    notice: String,
    path: &'static str,
    is_unknown: bool,
    filter: String,
    filter_error: String,
    known: Vec<String>,
    rows: Vec<EventRow>,
    decide: DecisionForm,
    count_words: String,
    csrf: String,
    older: String,
    first: String,
}

pub(crate) async fn unknown_replays(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    show(
        &state,
        &visit,
        OpenOutcome::Unknown,
        (&visit.query, String::new()),
    )
    .await
}

pub(crate) async fn awaited_replays(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    show(
        &state,
        &visit,
        OpenOutcome::Awaited,
        (&visit.query, String::new()),
    )
    .await
}

/// Decides about one replay, or about all that match and that the person saw.
pub(crate) async fn resolve_unknown_replays(
    State(state): State<AppState>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let decision = parse_decision(fields.get("decision").unwrap_or(""))?;
    let text = fields.get("filter").unwrap_or("");
    let back = Parameters::default().with("filter", text).url(UNKNOWN);
    if let Some(id) = fields.get("replay") {
        let id = parse_replay(id)?;
        state
            .replay
            .resolve_unknown(id, decision, actor(&visit))
            .await?;
        return Ok(Redirect::to(&back).into_response());
    }
    let filter = Filter::parse(text).map_err(|error| Problem::bad_request(error.to_string()))?;
    match decide_about_all(&state, &visit, &filter, decision, &fields).await {
        Ok(()) => Ok(Redirect::to(&back).into_response()),
        Err(problem) if problem.is_conflict() => {
            show(
                &state,
                &visit,
                OpenOutcome::Unknown,
                (&fields, problem.detail),
            )
            .await
        }
        Err(problem) => Err(problem),
    }
}

async fn decide_about_all(
    state: &AppState,
    visit: &Visit,
    filter: &Filter,
    decision: Decision,
    fields: &Parameters,
) -> Result<(), Problem> {
    let seen = seen_unknown(fields)?;
    let decided = state
        .replay
        .resolve_matching_unknown(filter, seen, decision, actor(visit));
    decided.await?;
    Ok(())
}

async fn show(
    state: &AppState,
    visit: &Visit,
    outcome: OpenOutcome,
    (parameters, notice): (&Parameters, String),
) -> Result<Response, Problem> {
    let content = OpenReplaysPage::load(state, visit, outcome, (parameters, notice)).await?;
    let title = content.title;
    visit.page(state, NavigationEntry::Replays, title, &content)
}

impl OpenReplaysPage {
    async fn load(
        state: &AppState,
        visit: &Visit,
        outcome: OpenOutcome,
        (parameters, notice): (&Parameters, String),
    ) -> Result<Self, Problem> {
        let text = parameters.get("filter").unwrap_or("");
        let filter = Filter::parse(text);
        let filter_error = filter.as_ref().err().map(ToString::to_string);
        let (page, count) = match filter {
            Ok(filter) => {
                found(
                    state,
                    visit,
                    OpenReplays {
                        outcome,
                        filter,
                        through: visit.now,
                    },
                )
                .await?
            }
            Err(_) => (Page::empty(), 0),
        };
        let (title, sentence, path) = words(outcome);
        let within = Parameters::default().with("filter", text);
        let older = page.next_cursor.as_deref();
        let older = older.map(|cursor| within.with("cursor", cursor).url(path));
        let first = visit.query.get("cursor").map(|_| within.url(path));
        Ok(Self {
            title,
            sentence,
            sections: sections(state, path).await?,
            notice,
            path,
            is_unknown: outcome == OpenOutcome::Unknown,
            filter: text.to_owned(),
            filter_error: filter_error.unwrap_or_default(),
            known: state.store.suggested_terms().await?,
            rows: event_rows(state, &page.items, visit.now).await?,
            decide: DecisionForm::new(format!("{path}/resolve"), text, count, visit.now),
            count_words: count_words(count, outcome),
            csrf: visit.csrf.clone(),
            older: older.unwrap_or_default(),
            first: first.unwrap_or_default(),
        })
    }
}

async fn found(
    state: &AppState,
    visit: &Visit,
    asked: OpenReplays,
) -> Result<(Page<Replay>, u64), Problem> {
    let request = PageRequest {
        limit: ROWS,
        cursor: visit.query.get("cursor").map(str::to_owned),
    };
    let page = state.store.open_replays(&asked, &request).await?;
    Ok((page, state.store.count_open_replays(&asked).await?))
}

const fn words(outcome: OpenOutcome) -> (&'static str, &'static str, &'static str) {
    match outcome {
        OpenOutcome::Unknown => (
            "Unknown replays",
            "They were being sent when something broke off, and nothing proves whether they \
             arrived. Nothing more happens to them until somebody decides.",
            UNKNOWN,
        ),
        OpenOutcome::Awaited => (
            "Replays that await their outcome",
            "They were sent. Those that wait for the longest time come first.",
            AWAITING,
        ),
    }
}

/// Counting ends just beyond a limit, because a million may wait.
fn count_words(count: u64, outcome: OpenOutcome) -> String {
    match outcome {
        OpenOutcome::Awaited if count > COUNTED => {
            format!("more than {} replays", markup::thousands(COUNTED))
        }
        _ => markup::counted(count, "replay", "replays"),
    }
}
