use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::edited_events::{EditedEvent, edited_events};
use super::frame::NavigationEntry;
use super::replay_form::{
    BrakeFields, DESTINATION, OPTIONS, SELECTION, brake_of, destination_of, options_of, request_of,
};
use crate::domain::{ReplayOptions, System};
use crate::replay::{
    Actor, Audience, DestinationChoice, Preflight, PreflightEvent, Recipient, ReplayRequest,
    Selection,
};
use crate::web::AppState;
use crate::web::markup;
use crate::web::parameters::Parameters;
use crate::web::problem::Problem;
use crate::web::visit::{ANONYMOUS, CheckedForm, Visit};

/// Events that the page lists; the numbers above are of all.
const EVENTS: usize = 100;

/// From here on the number must be typed.
const TYPED_FROM: u64 = 100;

/// Names that a field suggests.
const SUGGESTIONS: usize = 500;

struct Sum {
    count: String,
    label: &'static str,
    status: &'static str,
}

struct EventRow {
    letter: i64,
    revision: u32,
    destination: String,
    refusal: String,
    replayed_before: bool,
    warnings: Vec<String>,
}

pub(super) struct AudienceRow {
    pub(super) destination: String,
    pub(super) events: String,
    pub(super) recipients: Vec<RecipientRow>,
    pub(super) known: bool,
}

pub(super) struct RecipientRow {
    pub(super) name: String,
    pub(super) note: String,
    pub(super) failed: bool,
}

struct Choice {
    value: &'static str,
    label: &'static str,
    is_chosen: bool,
}

/// Names of a destination as they were typed.
struct TypedNames {
    topic: String,
    queue: String,
    exchange: String,
    key: String,
    vhost: String,
}

/// What will happen, before anything is sent.
#[derive(Template)]
#[template(path = "preflight.html")]
struct PreflightPage {
    title: String,
    selection: String,
    notice: String,
    sums: Vec<Sum>,
    audiences: Vec<AudienceRow>,
    /// What the edits of some events change.
    edited: Vec<EditedEvent>,
    events: Vec<EventRow>,
    hidden_events: u64,
    choices: Vec<Choice>,
    /// Names of brokers, and which one is chosen.
    clusters: Vec<(String, bool)>,
    typed: TypedNames,
    topics: Vec<String>,
    queues: Vec<String>,
    selected: Vec<(String, String)>,
    /// The destination and the options of which the page tells, as a query: with others nothing is sent before
    /// somebody looked at what they do.
    checked: String,
    csrf: String,
    eligible: u64,
    eligible_words: String,
    must_type: bool,
    back: String,
    brake: BrakeFields,
    /// There is a RabbitMQ to which the options could apply.
    has_rabbitmq: bool,
    options: ReplayOptions,
    cautions: Vec<String>,
}

pub(crate) async fn preflight(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let request = request_of(&visit.query)?;
    let judged = state.replay.preflight(&request).await?;
    show(
        &state,
        &visit,
        &visit.query,
        (&request, judged),
        String::new(),
    )
    .await
}

/// Starts the job, unless what would be sent, or where to, is not what the person saw. The same form asks to look
/// at another destination.
pub(crate) async fn start_replay(
    State(state): State<AppState>,
    visit: Visit,
    CheckedForm(fields): CheckedForm,
) -> Result<Response, Problem> {
    let request = request_of(&fields)?;
    if fields.get("check").is_some() {
        let page = ["csrf", "eligible", "checked", "typed", "check"]
            .iter()
            .fold(fields, |fields, name| fields.with(name, ""));
        return Ok(Redirect::to(&page.url("/replays/new")).into_response());
    }
    let brake = brake_of(&fields)?;
    let judged = state.replay.preflight(&request).await?;
    let checked = Parameters::parse(fields.get("checked").unwrap_or("").as_bytes());
    let is_checked =
        destination_of(&checked)? == request.destination && options_of(&checked) == request.options;
    if !is_checked {
        let notice = "another destination or option was chosen after the last check; look at what will \
            happen and confirm again";
        return show(
            &state,
            &visit,
            &fields,
            (&request, judged),
            notice.to_owned(),
        )
        .await;
    }
    let eligible = judged.eligible;
    let seen = fields.get("eligible").unwrap_or("");
    if seen != eligible.to_string() {
        let notice = changed_meanwhile(seen, eligible);
        return show(&state, &visit, &fields, (&request, judged), notice).await;
    }
    let typed = fields.get("typed").unwrap_or("").replace([',', ' '], "");
    if eligible > TYPED_FROM && typed != seen {
        let notice = format!("type {eligible} into the field beside the button to confirm");
        return show(&state, &visit, &fields, (&request, judged), notice).await;
    }
    let started = state
        .replay
        .start_held(request, brake, actor(&visit))
        .await?;
    let refused = started.refused.len().to_string();
    let shown = if started.refused.is_empty() {
        ""
    } else {
        refused.as_str()
    };
    let page = Parameters::default().with("refused", shown);
    Ok(Redirect::to(&page.url(&format!("/replays/{}", started.job))).into_response())
}

/// Why nothing is sent although somebody confirmed it.
pub(crate) fn changed_meanwhile(seen: &str, eligible: u64) -> String {
    format!(
        "meanwhile the number of events that would be sent changed from {seen} to {eligible}; \
         look again and confirm"
    )
}

/// Who acts, for the audit.
pub(crate) fn actor(visit: &Visit) -> Actor {
    Actor {
        name: ANONYMOUS.to_owned(),
        address: visit.address.clone(),
    }
}

async fn show(
    state: &AppState,
    visit: &Visit,
    parameters: &Parameters,
    (request, judged): (&ReplayRequest, Preflight),
    notice: String,
) -> Result<Response, Problem> {
    let edited = edited_events(&state.store, &judged.events).await?;
    let page = PreflightPage::of(state, visit, parameters, (request, judged), notice);
    let content = PreflightPage { edited, ..page };
    visit.page(state, NavigationEntry::Replays, "Replay", &content)
}

impl PreflightPage {
    fn of(
        state: &AppState,
        visit: &Visit,
        parameters: &Parameters,
        (request, judged): (&ReplayRequest, Preflight),
        notice: String,
    ) -> Self {
        let eligible = judged.eligible;
        let text = |name: &str| parameters.get(name).unwrap_or("").to_owned();
        let (topics, queues) = suggestions(state);
        let events = judged.events.iter().take(EVENTS);
        Self {
            title: markup::counted(judged.matching, "dead letter", "dead letters"),
            selection: selection_words(&request.selection),
            notice,
            sums: sums(&judged),
            audiences: judged.audiences.iter().map(audience_row).collect(),
            edited: Vec::new(),
            events: events.map(event_row).collect(),
            hidden_events: judged.matching.saturating_sub(EVENTS as u64),
            choices: choices(&request.destination),
            clusters: clusters(state, parameters),
            typed: TypedNames {
                topic: text("topic"),
                queue: text("queue"),
                exchange: text("exchange"),
                key: text("key"),
                vhost: text("vhost"),
            },
            topics,
            queues,
            selected: carried(parameters, &SELECTION),
            checked: checked_query(parameters),
            csrf: visit.csrf.clone(),
            eligible,
            eligible_words: markup::counted(eligible, "event", "events"),
            must_type: eligible > TYPED_FROM,
            back: back(&request.selection),
            brake: BrakeFields::typed(parameters),
            has_rabbitmq: !state.config.rabbitmq.is_empty(),
            options: request.options,
            cautions: judged.cautions,
        }
    }
}

fn clusters(state: &AppState, parameters: &Parameters) -> Vec<(String, bool)> {
    let chosen = parameters.get("cluster").unwrap_or("");
    let names = state.config.cluster_names();
    names
        .map(|name| (name.to_string(), name.as_str() == chosen))
        .collect()
}

fn carried(parameters: &Parameters, names: &[&str]) -> Vec<(String, String)> {
    let values = names.iter().flat_map(|name| {
        let all = parameters.all(name).filter(|value| !value.is_empty());
        all.map(|value| ((*name).to_owned(), value.to_owned()))
            .collect::<Vec<_>>()
    });
    values.collect()
}

fn checked_query(parameters: &Parameters) -> String {
    let mut fields = carried(parameters, &DESTINATION);
    fields.extend(carried(parameters, &OPTIONS));
    let query = fields
        .into_iter()
        .fold(Parameters::default(), |query, (name, value)| {
            query.with(&name, &value)
        });
    query.url("").trim_start_matches('?').to_owned()
}

fn selection_words(selection: &Selection) -> String {
    match selection {
        Selection::DeadLetters(ids) if ids.len() == 1 => format!("Dead letter {}", ids[0]),
        Selection::DeadLetters(_) => "The ones that you ticked".to_owned(),
        Selection::Filter(filter) if filter.is_empty() => "All of them".to_owned(),
        Selection::Filter(filter) => format!("Those where {}", filter.describe()),
    }
}

fn back(selection: &Selection) -> String {
    match selection {
        Selection::DeadLetters(ids) if ids.len() == 1 => format!("/dead-letters/{}", ids[0]),
        Selection::DeadLetters(_) => "/dead-letters/list".to_owned(),
        Selection::Filter(filter) => crate::web::parameters::list_url(filter.text()),
    }
}

/// "1,284 match; 1,190 eligible; 61 already replayed; 33 have no destination".
fn sums(judged: &Preflight) -> Vec<Sum> {
    let sum = |count: u64, label, status| Sum {
        count: markup::thousands(count),
        label,
        status,
    };
    let mut sums = vec![
        sum(judged.matching, "selected", "idle"),
        sum(judged.eligible, "will be sent", "ok"),
    ];
    let before = judged.already_replayed;
    if before > 0 {
        sums.push(sum(before, "of them were sent before", "warning"));
    }
    for (kind, count) in &judged.refused {
        sums.push(sum(*count, kind.as_str(), "critical"));
    }
    sums
}

pub(super) fn audience_row(audience: &Audience) -> AudienceRow {
    AudienceRow {
        destination: format!(
            "{} on {}",
            audience.destination,
            audience.destination.cluster()
        ),
        events: markup::counted(audience.events as u64, "event", "events"),
        recipients: audience.recipients.iter().map(recipient_row).collect(),
        known: audience.known,
    }
}

fn recipient_row(recipient: &Recipient) -> RecipientRow {
    match recipient {
        Recipient::Group {
            group,
            members,
            failed,
        } => RecipientRow {
            name: format!("group {group}"),
            note: match members {
                None => "has members".to_owned(),
                Some(0) => "has no members now".to_owned(),
                Some(members) => markup::counted(*members as u64, "member", "members"),
            },
            failed: *failed,
        },
        Recipient::Queue { queue, consumers } => RecipientRow {
            name: format!("queue {queue}"),
            note: match consumers {
                None => String::new(),
                Some(0) => "has no consumers now".to_owned(),
                Some(consumers) => markup::counted(*consumers, "consumer", "consumers"),
            },
            failed: false,
        },
    }
}

fn event_row(event: &PreflightEvent) -> EventRow {
    let (destination, refusal) = match &event.verdict {
        Ok(destination) => (destination.to_string(), String::new()),
        Err(refusal) => (String::new(), refusal.reason.clone()),
    };
    EventRow {
        letter: event.dead_letter.0,
        revision: event.revision.0,
        destination,
        refusal,
        replayed_before: event.replayed_before,
        warnings: event.warnings.clone(),
    }
}

fn choices(chosen: &DestinationChoice) -> Vec<Choice> {
    let current = match chosen {
        DestinationChoice::Original => "original",
        DestinationChoice::KafkaTopic { .. } => "topic",
        DestinationChoice::Queue { .. } => "queue",
        DestinationChoice::Exchange { .. } => "exchange",
    };
    let known = [
        ("original", "Where each came from"),
        ("topic", "Another Kafka topic"),
        ("queue", "Another RabbitMQ queue"),
        ("exchange", "A RabbitMQ exchange"),
    ];
    let choice = |(value, label)| Choice {
        value,
        label,
        is_chosen: value == current,
    };
    known.into_iter().map(choice).collect()
}

/// Names of topics and queues as of the last sample.
fn suggestions(state: &AppState) -> (Vec<String>, Vec<String>) {
    let snapshot = state.snapshot();
    let kafka = snapshot
        .clusters
        .iter()
        .filter(|cluster| cluster.system == System::Kafka);
    let topics = kafka
        .filter_map(|cluster| cluster.kafka())
        .flat_map(|kafka| &kafka.topics)
        .filter(|topic| !topic.internal)
        .map(|topic| topic.topic.to_string());
    let queues = snapshot
        .queues()
        .map(|(_, queue)| queue.sample.queue.to_string());
    (
        topics.take(SUGGESTIONS).collect(),
        queues.take(SUGGESTIONS).collect(),
    )
}
