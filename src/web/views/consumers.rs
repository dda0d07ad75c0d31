use std::cmp::Ordering;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::frame::NavigationEntry;
use super::freshness::{StaleNotice, is_stale, stale_notices};
use crate::domain::{ClusterSnapshot, GroupStatus, GroupVerdict, System, Timestamp};
use crate::sampling::Series;
use crate::web::AppState;
use crate::web::chart::{self, Unit};
use crate::web::escape::Markup;
use crate::web::markup::{self, Status};
use crate::web::parameters::path;
use crate::web::problem::Problem;
use crate::web::table::{Column, Head, Sort, by_number};
use crate::web::visit::Visit;

/// More rows than a person scrolls through; the filter finds the rest.
const ROWS: usize = 500;

const COLUMNS: [Column; 10] = [
    Column::text("status", "Status"),
    Column::text("group", "Group"),
    Column::text("state", "State"),
    Column::number("members", "Members"),
    Column::number("lag", "Lag"),
    Column::number("time", "Oldest unread"),
    Column::number("read", "Read"),
    Column::number("written", "Written"),
    Column::number("drain", "Drained in"),
    Column::text("", "Lag, lately"),
];

/// One consumer group in a table.
pub(crate) struct GroupRow {
    pub(crate) key: String,
    pub(crate) href: String,
    pub(crate) is_stale: bool,
    pub(crate) status: Markup,
    pub(crate) cluster: String,
    pub(crate) group: String,
    pub(crate) state: String,
    pub(crate) members: Markup,
    pub(crate) lag: Markup,
    pub(crate) time_lag: Markup,
    pub(crate) consume_rate: Markup,
    pub(crate) produce_rate: Markup,
    pub(crate) drain: Markup,
    pub(crate) spark: Markup,
}

/// Every consumer group of every Kafka cluster.
#[derive(Template)]
#[template(path = "consumers.html")]
pub(crate) struct Consumers {
    sentence: String,
    stale: Vec<StaleNotice>,
    search: String,
    sort: String,
    heads: Vec<Head>,
    rows: Vec<GroupRow>,
    hidden: usize,
    has_kafka: bool,
    shows_clusters: bool,
}

pub(crate) async fn consumers(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let content = Consumers::of(&state, &visit);
    visit.page(&state, NavigationEntry::Consumers, "Consumers", &content)
}

impl Consumers {
    fn of(state: &AppState, visit: &Visit) -> Self {
        let snapshot = state.snapshot();
        let kafka = || {
            let clusters = snapshot.clusters.iter().map(AsRef::as_ref);
            clusters.filter(|cluster: &&ClusterSnapshot| cluster.system == System::Kafka)
        };
        let search = visit.query.get("q").unwrap_or("").to_lowercase();
        let mut groups: Vec<_> = snapshot
            .groups()
            .filter(|(_, group)| group.group.as_str().to_lowercase().contains(&search))
            .collect();
        let sort = Sort::of(visit, &COLUMNS, "-status");
        worst_first(&mut groups);
        sort.apply(&mut groups, compare);
        let rows = groups.iter().take(ROWS);
        Self {
            sentence: sentence(&groups),
            stale: stale_notices(state, kafka(), visit.now),
            search: visit.query.get("q").unwrap_or("").to_owned(),
            sort: visit.query.get("sort").unwrap_or("").to_owned(),
            heads: sort.heads(visit, &COLUMNS),
            rows: rows
                .map(|(c, g)| GroupRow::of(state, c, g, visit.now))
                .collect(),
            hidden: groups.len().saturating_sub(ROWS),
            has_kafka: kafka().next().is_some(),
            shows_clusters: kafka().count() > 1,
        }
    }
}

impl GroupRow {
    pub(crate) fn of(
        state: &AppState,
        cluster: &ClusterSnapshot,
        group: &GroupStatus,
        now: Timestamp,
    ) -> Self {
        let name = group.group.as_str();
        let line = state.lately(&cluster.name, Series::GroupLag(group.group.clone()), now);
        Self {
            key: format!("{}/{name}", cluster.name),
            href: path(["consumers", cluster.name.as_str(), name]),
            is_stale: is_stale(state, cluster, now),
            status: verdict(group),
            cluster: cluster.name.to_string(),
            group: name.to_owned(),
            state: group.state.clone(),
            members: member_count(group),
            lag: markup::count(group.lag),
            time_lag: markup::time_lag(group.time_lag),
            consume_rate: markup::rate(group.consume_rate),
            produce_rate: markup::rate(group.produce_rate),
            drain: drain(group),
            spark: chart::sparkline("Lag", Unit::Count, &line),
        }
    }
}

pub(super) fn member_count(group: &GroupStatus) -> Markup {
    match group.member_count() {
        Some(members) => markup::count(members as u64),
        None => markup::absent("the broker does not describe them to Redrive"),
    }
}

/// The verdict in words; a group without members and without lag is idle, not a problem.
pub(crate) fn verdict(group: &GroupStatus) -> Markup {
    let (status, word) = verdict_words(group);
    markup::status(status, word)
}

pub(crate) fn verdict_words(group: &GroupStatus) -> (Status, &'static str) {
    match group.verdict {
        GroupVerdict::Ok if group.member_count() == Some(0) => (Status::Idle, "idle"),
        GroupVerdict::Ok => (Status::Ok, "ok"),
        GroupVerdict::Slow => (Status::Warning, "slow"),
        GroupVerdict::Rewound => (Status::Warning, "rewound"),
        GroupVerdict::Stalled => (Status::Critical, "stalled"),
        GroupVerdict::Stopped => (Status::Critical, "stopped"),
        GroupVerdict::NoMembers => (Status::Critical, "no members"),
        GroupVerdict::Lost => (Status::Critical, "lost data"),
    }
}

/// The groups that need a person first: by verdict, then by lag.
pub(crate) fn worst_first(groups: &mut [(&ClusterSnapshot, &GroupStatus)]) {
    groups.sort_by(|(_, a), (_, b)| {
        b.verdict
            .cmp(&a.verdict)
            .then(b.lag.cmp(&a.lag))
            .then(a.group.cmp(&b.group))
    });
}

/// How long until the lag is gone at the present rates; absent without lag.
fn drain_time(group: &GroupStatus) -> Option<f64> {
    let gain = group.consume_rate? - group.produce_rate.unwrap_or(0.0);
    (group.lag > 0).then(|| {
        if gain > 0.01 {
            group.lag as f64 / gain
        } else {
            f64::INFINITY
        }
    })
}

pub(crate) fn drain(group: &GroupStatus) -> Markup {
    match drain_time(group) {
        None if group.lag == 0 => markup::absent("nothing to drain"),
        None => markup::absent("the rates are not known yet"),
        Some(seconds) if seconds.is_finite() && seconds < 1e10 => {
            askama::filters::Safe(markup::duration(Duration::from_secs_f64(seconds)))
        }
        Some(_) => askama::filters::Safe(
            "<span title=\"at the present rates it never drains\">never</span>".to_owned(),
        ),
    }
}

fn compare(
    key: &str,
    (_, a): &(&ClusterSnapshot, &GroupStatus),
    (_, b): &(&ClusterSnapshot, &GroupStatus),
) -> Ordering {
    let seconds = |group: &GroupStatus| group.time_lag.map(|lag| lag.duration().as_secs_f64());
    match key {
        "group" => a.group.cmp(&b.group),
        "state" => a.state.cmp(&b.state),
        "members" => a.member_count().cmp(&b.member_count()),
        "lag" => a.lag.cmp(&b.lag),
        "time" => by_number(seconds(a), seconds(b)),
        "read" => by_number(a.consume_rate, b.consume_rate),
        "written" => by_number(a.produce_rate, b.produce_rate),
        "drain" => by_number(drain_time(a), drain_time(b)),
        _ => a.verdict.cmp(&b.verdict),
    }
}

fn sentence(groups: &[(&ClusterSnapshot, &GroupStatus)]) -> String {
    let all = markup::counted(groups.len() as u64, "group", "groups");
    let count = |predicate: fn(&GroupStatus) -> bool| {
        groups.iter().filter(|(_, group)| predicate(group)).count() as u64
    };
    let behind = count(|group| group.lag > 0);
    let troubled = count(|group| verdict_words(group).0 >= Status::Warning);
    let troubled = match troubled {
        0 => "none needs you".to_owned(),
        1 => "1 needs a look".to_owned(),
        some => format!("{some} need a look"),
    };
    format!("{all}, {} behind, {troubled}.", markup::thousands(behind))
}
