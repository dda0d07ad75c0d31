use std::time::Duration;

use askama::Template;
use askama::filters::Safe;
use axum::extract::State;
use axum::response::Response;

use super::bulk_form::discard_link;
use super::dead_letter_list::parse_filter;
use super::failure_group::path_of;
use super::frame::NavigationEntry;
use super::pivot::pivot_choices;
use super::replays::state_status;
use crate::domain::{FilterField, GroupOrder, GroupState, Replay, Timestamp};
use crate::store::{FailureGroup, GroupQuery, Page, PageRequest};
use crate::web::AppState;
use crate::web::chart;
use crate::web::escape::Markup;
use crate::web::markup::{self, Status};
use crate::web::parameters::{Parameters, list_url};
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// Cards of one page.
const CARDS: u32 = 25;

/// The sparkline of a card: hours of the last day, or minutes of the last hour while all of the group
/// lies in it.
const BUCKETS: u32 = 24;

/// A link that is one of several.
pub(super) struct Choice {
    pub(super) label: &'static str,
    pub(super) href: String,
    pub(super) is_current: bool,
}

/// One failure group: dead letters with one cause.
pub(crate) struct GroupCard {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(super) explanation: String,
    pub(crate) badges: Vec<Markup>,
    pub(crate) href: String,
    /// The page of the group.
    page: String,
    pub(super) newest: String,
    pub(super) replay: String,
    pub(super) discard: String,
    pub(crate) place: String,
    pub(crate) open: Markup,
    pub(super) open_exact: u64,
    pub(crate) total: Markup,
    pub(super) first_seen: Markup,
    pub(crate) last_seen: Markup,
    pub(super) spark: Markup,
    pub(super) last_replay: Markup,
    /// Who takes care of it and how many notes it has; may be empty.
    care: String,
}

/// Dead letters by failure group: what fails, how often, since when.
#[derive(Template)]
#[template(path = "failure_groups.html")]
pub(crate) struct FailureGroups {
    sentence: String,
    filter: String,
    filter_error: String,
    /// Terms with values that there are.
    known: Vec<String>,
    list: String,
    fields: Vec<Choice>,
    states: Vec<Choice>,
    orders: Vec<Choice>,
    is_narrowed: bool,
    cards: Vec<GroupCard>,
    next: String,
}

pub(crate) async fn failure_groups(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let content = FailureGroups::load(&state, &visit).await?;
    visit.page(
        &state,
        NavigationEntry::DeadLetters,
        "Dead letters",
        &content,
    )
}

impl FailureGroups {
    async fn load(state: &AppState, visit: &Visit) -> Result<Self, Problem> {
        let (filter, filter_error) = parse_filter(visit);
        let group_state = visit.query.get("state").and_then(GroupState::parse);
        let order = visit.query.get("order").and_then(GroupOrder::parse);
        let order = order.unwrap_or_default();
        let request = PageRequest {
            limit: CARDS,
            cursor: visit.query.get("cursor").map(str::to_owned),
        };
        let page = match &filter {
            Some(filter) => {
                let asked = GroupQuery {
                    filter: filter.clone(),
                    state: group_state,
                    order,
                };
                state
                    .store
                    .failure_groups_by(&asked, visit.now, &request)
                    .await?
            }
            None => Page::empty(),
        };
        let open: u64 = page.items.iter().map(|group| group.open).sum();
        let next = page
            .next_cursor
            .map(|cursor| visit.url_with("cursor", &cursor));
        let groups = page.items.len() as u64;
        Ok(Self {
            sentence: format!(
                "{} open in {}{}.",
                markup::counted(open, "dead letter", "dead letters"),
                markup::counted(groups, "failure group", "failure groups"),
                if next.is_some() { " on this page" } else { "" },
            ),
            filter: visit.query.get("filter").unwrap_or("").to_owned(),
            filter_error,
            known: state.store.suggested_terms().await?,
            list: list_url(visit.query.get("filter").unwrap_or("")),
            fields: pivot_choices(visit.query.get("filter").unwrap_or(""), None),
            states: state_choices(visit, group_state),
            orders: order_choices(visit, order),
            is_narrowed: visit.query.get("filter").is_some() || group_state.is_some(),
            cards: cards(state, page.items, visit.now).await?,
            next: next.unwrap_or_default(),
        })
    }
}

/// The cards of some groups, each with its arrivals and its last replay.
pub(crate) async fn cards(
    state: &AppState,
    groups: Vec<FailureGroup>,
    now: Timestamp,
) -> Result<Vec<GroupCard>, Problem> {
    let mut cards = Vec::with_capacity(groups.len());
    for group in groups {
        let hours = if now.since(group.first_seen) < GroupState::NEWS_FOR {
            1
        } else {
            24
        };
        let from = now.minus(Duration::from_hours(hours));
        let span = (from, now.plus(Duration::from_secs(1)));
        let arrivals = state
            .store
            .failure_group_arrivals(&group.id, span, BUCKETS)
            .await?;
        let last_replay = state.store.last_replay_of_group(&group.id).await?;
        cards.push(GroupCard::of(group, &arrivals, last_replay.as_ref(), now));
    }
    Ok(cards)
}

impl GroupCard {
    fn of(group: FailureGroup, arrivals: &[u64], replay: Option<&Replay>, now: Timestamp) -> Self {
        let badges = badges(&group, now);
        let filter = FilterField::Group.term(group.id.as_str());
        let open_ones = format!("{filter} status:open");
        let newest = group.newest.as_ref();
        Self {
            id: group.id.to_string(),
            badges,
            href: list_url(&filter),
            page: path_of(&group.id),
            care: care_words(&group),
            newest: newest
                .map(|newest| format!("/dead-letters/{}", newest.id))
                .unwrap_or_default(),
            replay: Parameters::default()
                .with("filter", &open_ones)
                .url("/replays/new"),
            discard: discard_link(&open_ones),
            place: newest.map(place).unwrap_or_default(),
            open: markup::count(group.open),
            open_exact: group.open,
            total: markup::count(group.total),
            first_seen: markup::ago(group.first_seen, now),
            last_seen: markup::ago(group.last_seen, now),
            spark: chart::spark_bars(span_words(group.first_seen, now), arrivals),
            last_replay: replay.map_or_else(|| Safe(String::new()), |r| last_replay(r, now)),
            title: group.title,
            explanation: group.explanation,
        }
    }
}

/// "team-payments, 2 notes"
fn care_words(group: &FailureGroup) -> String {
    let notes = match group.notes {
        0 => None,
        count => Some(markup::counted(count, "note", "notes")),
    };
    let parts = [group.assignee.clone(), notes];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn span_words(first_seen: Timestamp, now: Timestamp) -> &'static str {
    if now.since(first_seen) < GroupState::NEWS_FOR {
        "Arrivals in the last hour"
    } else {
        "Arrivals in the last 24 hours"
    }
}

/// "orders → orders.dlq on kafka"
fn place(newest: &crate::store::NewestMember) -> String {
    match &newest.source {
        Some(source) => format!("{source} → {} on {}", newest.dlq, newest.cluster),
        None => format!("{} on {}", newest.dlq, newest.cluster),
    }
}

fn last_replay(replay: &Replay, now: Timestamp) -> Markup {
    let (status, word) = state_status(replay.state.name());
    Safe(format!(
        "last replay {} {}",
        markup::status(status, word).0,
        markup::ago(replay.updated_at, now).0
    ))
}

fn badges(group: &FailureGroup, now: Timestamp) -> Vec<Markup> {
    let states = group.states(now);
    let badge = |state: GroupState| match state {
        GroupState::Regressed => Some(markup::badge(Status::Critical, "regressed")),
        // What came back is not called new as well.
        GroupState::New if !states.contains(&GroupState::Regressed) => {
            Some(markup::badge(Status::Unknown, "new"))
        }
        GroupState::Growing => Some(markup::badge(Status::Warning, "growing")),
        GroupState::Resolved => Some(markup::badge(Status::Ok, "nothing open")),
        GroupState::New | GroupState::Open => None,
    };
    let redriven = group
        .is_redriven
        .then(|| markup::badge(Status::Idle, "redrive policy on"));
    let badges = states.iter().copied().filter_map(badge);
    badges.chain(redriven).collect()
}

/// The states that can be asked for, each as a link that keeps the filter.
fn state_choices(visit: &Visit, current: Option<GroupState>) -> Vec<Choice> {
    let all = Choice {
        label: "All",
        href: visit
            .query
            .with("state", "")
            .with("cursor", "")
            .url(&visit.path),
        is_current: current.is_none(),
    };
    let choice = |state: GroupState| Choice {
        label: match state {
            GroupState::New => "New",
            GroupState::Regressed => "Regressed",
            GroupState::Growing => "Growing",
            GroupState::Open => "Open",
            GroupState::Resolved => "Nothing open",
        },
        href: visit
            .query
            .with("state", state.as_str())
            .with("cursor", "")
            .url(&visit.path),
        is_current: current == Some(state),
    };
    std::iter::once(all)
        .chain(GroupState::ALL.map(choice))
        .collect()
}

fn order_choices(visit: &Visit, current: GroupOrder) -> Vec<Choice> {
    let choice = |order: GroupOrder| Choice {
        label: match order {
            GroupOrder::Last => "Newest death",
            GroupOrder::Open => "Most open",
            GroupOrder::Total => "Most ever",
            GroupOrder::First => "Newest group",
        },
        href: visit
            .query
            .with("order", order.as_str())
            .with("cursor", "")
            .url(&visit.path),
        is_current: current == order,
    };
    GroupOrder::ALL.map(choice).into()
}
