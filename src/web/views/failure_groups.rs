use std::time::Duration;

use askama::Template;
use askama::filters::Safe;
use axum::extract::State;
use axum::response::Response;

use super::bulk_form::discard_link;
use super::dead_letter_list::parse_filter;
use super::frame::NavigationEntry;
use super::replays::state_status;
use crate::domain::{FilterField, Replay, Timestamp};
use crate::store::{FailureGroup, Page, PageRequest};
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

/// A group is new, or back, for so long.
const NEW_FOR: Duration = Duration::from_hours(1);

/// One failure group: dead letters with one cause.
pub(crate) struct GroupCard {
    pub(crate) id: String,
    pub(crate) title: String,
    explanation: String,
    pub(crate) badges: Vec<Markup>,
    pub(crate) href: String,
    newest: String,
    replay: String,
    discard: String,
    pub(crate) place: String,
    pub(crate) open: Markup,
    open_exact: u64,
    pub(crate) total: Markup,
    first_seen: Markup,
    pub(crate) last_seen: Markup,
    spark: Markup,
    last_replay: Markup,
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
        let request = PageRequest {
            limit: CARDS,
            cursor: visit.query.get("cursor").map(str::to_owned),
        };
        let page = match &filter {
            Some(filter) => {
                state
                    .store
                    .failure_groups(filter, visit.now, &request)
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
        let hours = if now.since(group.first_seen) < NEW_FOR {
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
        let badges = badges(&group, arrivals, now);
        let filter = FilterField::Group.term(group.id.as_str());
        let open_ones = format!("{filter} status:open");
        let newest = group.newest.as_ref();
        Self {
            id: group.id.to_string(),
            badges,
            href: list_url(&filter),
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

fn span_words(first_seen: Timestamp, now: Timestamp) -> &'static str {
    if now.since(first_seen) < NEW_FOR {
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

fn badges(group: &FailureGroup, arrivals: &[u64], now: Timestamp) -> Vec<Markup> {
    let mut badges = Vec::new();
    let is_back = group.regressed_at.is_some_and(|at| now.since(at) < NEW_FOR);
    if is_back && group.open > 0 {
        badges.push(markup::badge(Status::Critical, "regressed"));
    } else if now.since(group.first_seen) < NEW_FOR {
        badges.push(markup::badge(Status::Unknown, "new"));
    }
    if is_growing(arrivals) && now.since(group.first_seen) >= NEW_FOR {
        badges.push(markup::badge(Status::Warning, "growing"));
    }
    if group.open == 0 {
        badges.push(markup::badge(Status::Ok, "nothing open"));
    }
    badges
}

/// More arrived in the last hour than in twice an average hour before, and not just one or two.
fn is_growing(arrivals: &[u64]) -> bool {
    let Some((last, before)) = arrivals.split_last() else {
        return false;
    };
    let average = before.iter().sum::<u64>() as f64 / before.len().max(1) as f64;
    *last >= 3 && *last as f64 > 2.0 * average
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_grows_when_its_last_hour_stands_out() {
        assert!(is_growing(&[1, 1, 1, 5]));
        assert!(!is_growing(&[5, 5, 5, 5]));
        assert!(!is_growing(&[0, 0, 0, 2]));
        assert!(!is_growing(&[]));
    }
}
