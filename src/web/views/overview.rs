use std::time::Duration;

use askama::Template;
use askama::filters::Safe;
use axum::extract::State;
use axum::response::Response;

use super::charts::Charts;
use super::consumers::{GroupRow, worst_first};
use super::failure_groups::{GroupCard, cards};
use super::frame::NavigationEntry;
use super::freshness::{StaleNotice, health_of, stale_notices};
use super::replays::{JobRow, Totals, job_rows};
use crate::domain::{Filter, Snapshot, Timestamp};
use crate::sampling::Series;
use crate::store::PageRequest;
use crate::web::AppState;
use crate::web::chart::{self, Unit};
use crate::web::escape::Markup;
use crate::web::lines::{of_all, overview_lines};
use crate::web::markup;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// Rows of each list; the pages behind them have all.
const ROWS: usize = 5;

/// One number that says how things are, with its recent past.
pub(crate) struct Tile {
    label: &'static str,
    value: Markup,
    /// What the number means or hides.
    note: String,
    spark: Markup,
    href: &'static str,
}

struct BrokerRow {
    name: String,
    system: &'static str,
    status: Markup,
    version: String,
    age: Markup,
    cost: String,
    error: String,
}

/// Is anything wrong, and where do I click?
#[derive(Template)]
#[template(path = "overview.html")]
pub(crate) struct Overview {
    sentence: String,
    stale: Vec<StaleNotice>,
    tiles: Vec<Tile>,
    brokers: Vec<BrokerRow>,
    groups: Vec<GroupRow>,
    failures: Vec<GroupCard>,
    jobs: Vec<JobRow>,
    replays: Totals,
    store_size: String,
    charts: Charts,
}

pub(crate) async fn overview(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let content = Overview::load(&state, &visit).await?;
    visit.page(&state, NavigationEntry::Overview, "Overview", &content)
}

impl Overview {
    async fn load(state: &AppState, visit: &Visit) -> Result<Self, Problem> {
        let now = visit.now;
        let snapshot = state.snapshot();
        let first = PageRequest::first(u32::try_from(ROWS).unwrap_or(5));
        let every = Filter::default();
        let failures = state.store.failure_groups(&every, now, &first).await?;
        let failures = cards(state, failures.items, now).await?;
        let jobs = state.store.replay_jobs(&first).await?.items;
        let depths = state.store.dlq_depths().await?;
        let open: u64 = depths.iter().map(|depth| depth.open).sum();
        let oldest = depths.iter().filter_map(|depth| depth.oldest).min();
        let mut groups: Vec<_> = snapshot.groups().collect();
        worst_first(&mut groups);
        let behind = groups.iter().filter(|(_, group)| group.lag > 0).count();
        let rows = groups.iter().take(ROWS);
        let clusters = snapshot.clusters.iter().map(AsRef::as_ref);
        let tiles = Tiles {
            state,
            snapshot: &snapshot,
            now,
        };
        Ok(Self {
            sentence: sentence(&snapshot, behind as u64, open),
            stale: stale_notices(state, clusters, now),
            tiles: vec![
                tiles.total_lag(),
                tiles.oldest_lag(),
                tiles.processing_rate(),
                tiles.dlq_depth(open, oldest),
            ],
            brokers: broker_rows(state, &snapshot, now),
            groups: rows
                .map(|(cluster, group)| GroupRow::of(state, cluster, group, now))
                .collect(),
            failures,
            jobs: job_rows(jobs, now),
            replays: Totals::load(state).await?,
            store_size: markup::bytes(state.store.size_bytes().await?),
            charts: Charts::load(state, visit, &overview_lines(&snapshot)).await?,
        })
    }
}

/// "All brokers are up, 3 groups behind, 1,284 dead letters open."
fn sentence(snapshot: &Snapshot, behind: u64, open: u64) -> String {
    let down: Vec<_> = snapshot
        .clusters
        .iter()
        .filter(|cluster| !cluster.health.up)
        .map(|cluster| cluster.name.as_str())
        .collect();
    let brokers = match (snapshot.clusters.len(), down.as_slice()) {
        (0, _) => "Waiting for the first sample".to_owned(),
        (_, []) => "All brokers are up".to_owned(),
        (_, [one]) => format!("{one} does not answer"),
        (_, several) => format!("{} do not answer", several.join(" and ")),
    };
    let groups = match behind {
        0 => "no group behind".to_owned(),
        some => markup::counted(some, "group behind", "groups behind"),
    };
    let letters = match open {
        0 => "no dead letter open".to_owned(),
        some => markup::counted(some, "dead letter open", "dead letters open"),
    };
    format!("{brokers}, {groups}, {letters}.")
}

fn broker_rows(state: &AppState, snapshot: &Snapshot, now: Timestamp) -> Vec<BrokerRow> {
    let row = |cluster: &std::sync::Arc<crate::domain::ClusterSnapshot>| {
        let health = &cluster.health;
        let (status, word) = health_of(state, cluster, now);
        let version = health.facts.iter().find(|(name, _)| name == "version");
        BrokerRow {
            name: cluster.name.to_string(),
            system: cluster.system.as_str(),
            status: markup::status(status, word),
            version: version.map(|(_, value)| value.clone()).unwrap_or_default(),
            age: markup::optional_ago(health.last_success, now, "no sample yet"),
            cost: format!(
                "{} in {}",
                markup::counted(health.cost.requests, "request", "requests"),
                markup::duration(health.cost.duration)
            ),
            error: health.error.clone().unwrap_or_default(),
        }
    };
    snapshot.clusters.iter().map(row).collect()
}

/// What the tiles are made of.
struct Tiles<'a> {
    state: &'a AppState,
    snapshot: &'a Snapshot,
    now: Timestamp,
}

impl Tiles<'_> {
    fn total_lag(&self) -> Tile {
        let total: u64 = self.snapshot.groups().map(|(_, group)| group.lag).sum();
        Tile {
            label: "Total lag",
            value: markup::count(total),
            note: "messages not read by groups".to_owned(),
            spark: self.spark("Total lag", Unit::Count, &Series::TotalLag),
            href: "/consumers?sort=-lag",
        }
    }

    fn oldest_lag(&self) -> Tile {
        let lags = self.snapshot.groups().filter_map(|(_, group)| {
            let lag = group.time_lag?;
            Some((lag, group))
        });
        let worst = lags.max_by_key(|(lag, _)| lag.duration());
        Tile {
            label: "Oldest unread",
            value: worst.map_or_else(
                || Safe("0 s".to_owned()),
                |(lag, _)| markup::time_lag(Some(lag)),
            ),
            note: match worst {
                Some((lag, group)) if lag.duration() > Duration::ZERO => {
                    format!("in {}", markup::cut_end(group.group.as_str(), 40))
                }
                _ => "every group is up to date".to_owned(),
            },
            spark: self.spark(
                "Oldest unread message",
                Unit::Seconds,
                &Series::WorstTimeLag,
            ),
            href: "/consumers?sort=-time",
        }
    }

    fn processing_rate(&self) -> Tile {
        let groups = self
            .snapshot
            .groups()
            .filter_map(|(_, group)| group.consume_rate);
        let queues = self
            .snapshot
            .queues()
            .filter(|(_, queue)| queue.role == crate::domain::QueueRole::Work)
            .filter_map(|(_, queue)| queue.rates.settle);
        let known: Vec<f64> = groups.chain(queues).collect();
        let rate = (!known.is_empty()).then(|| known.iter().sum());
        Tile {
            label: "Processing rate",
            value: markup::rate(rate),
            note: "commits and settled messages".to_owned(),
            spark: self.spark("Processing rate", Unit::PerSecond, &Series::ProcessingRate),
            href: "/consumers",
        }
    }

    fn dlq_depth(&self, open: u64, oldest: Option<Timestamp>) -> Tile {
        Tile {
            label: "Dead letters open",
            value: markup::count(open),
            note: match oldest {
                Some(oldest) => format!("the oldest died {}", markup::ago_text(oldest, self.now)),
                None => "nothing waits for you".to_owned(),
            },
            spark: self.spark("Dead letters open", Unit::Count, &Series::OpenDeadLetters),
            href: "/dead-letters",
        }
    }

    /// Of all clusters together.
    fn spark(&self, label: &str, unit: Unit, series: &Series) -> Markup {
        let keys = of_all(self.snapshot, series);
        let line = self.state.sampling.lately(&keys, self.now);
        chart::sparkline(label, unit, &line)
    }
}
