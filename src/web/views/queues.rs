use std::cmp::Ordering;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::frame::NavigationEntry;
use super::freshness::{StaleNotice, is_stale, stale_notices};
use super::queue_troubles::circles;
use crate::domain::{ClusterName, ClusterSnapshot, QueueRole, QueueStatus, System, Timestamp};
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

/// So many circling queues get a sentence; all have the word in their row.
const CIRCLING: usize = 5;

const COLUMNS: [Column; 11] = [
    Column::text("role", "Role"),
    Column::text("queue", "Queue"),
    Column::text("type", "Type"),
    Column::number("ready", "Ready"),
    Column::number("unacked", "Unacked"),
    Column::number("consumers", "Consumers"),
    Column::number("publish", "Published"),
    Column::number("settle", "Settled"),
    Column::number("redeliver", "Redelivered"),
    Column::text("", "Dead letters go to"),
    Column::text("", "Depth, lately"),
];

pub(super) const NOT_GIVEN: &str = "the broker's statistics do not give it";

/// One queue in a table.
pub(crate) struct QueueRow {
    key: String,
    href: String,
    is_stale: bool,
    role: Markup,
    queue: String,
    vhost: String,
    kind: &'static str,
    ready: Markup,
    unacked: Markup,
    consumers: Markup,
    publish: Markup,
    settle: Markup,
    redeliver: Markup,
    dead_letters_to: Vec<QueueLink>,
    warning: Markup,
    spark: Markup,
}

/// A queue as a link to its page.
pub(crate) struct QueueLink {
    pub(crate) name: String,
    pub(crate) href: String,
}

/// Every queue of every RabbitMQ cluster.
#[derive(Template)]
#[template(path = "queues.html")]
pub(crate) struct Queues {
    sentence: String,
    stale: Vec<StaleNotice>,
    warnings: Vec<String>,
    critical: Vec<String>,
    search: String,
    sort: String,
    heads: Vec<Head>,
    rows: Vec<QueueRow>,
    hidden: usize,
    has_rabbitmq: bool,
}

pub(crate) async fn queues(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let content = Queues::of(&state, &visit);
    visit.page(&state, NavigationEntry::Queues, "Queues", &content)
}

impl Queues {
    fn of(state: &AppState, visit: &Visit) -> Self {
        let snapshot = state.snapshot();
        let rabbitmq = || {
            let clusters = snapshot.clusters.iter().map(AsRef::as_ref);
            clusters.filter(|cluster: &&ClusterSnapshot| cluster.system == System::RabbitMq)
        };
        let search = visit.query.get("q").unwrap_or("").to_lowercase();
        let mut queues: Vec<_> = snapshot
            .queues()
            .filter(|(_, queue)| queue.sample.queue.as_str().to_lowercase().contains(&search))
            .collect();
        let sort = Sort::of(visit, &COLUMNS, "role");
        queues.sort_by(|(_, a), (_, b)| a.sample.queue.cmp(&b.sample.queue));
        sort.apply(&mut queues, compare);
        let rows = queues.iter().take(ROWS);
        Self {
            sentence: sentence(&queues),
            stale: stale_notices(state, rabbitmq(), visit.now),
            warnings: rabbitmq().filter_map(discarded).collect(),
            critical: circling(&queues, visit.now),
            search: visit.query.get("q").unwrap_or("").to_owned(),
            sort: visit.query.get("sort").unwrap_or("").to_owned(),
            heads: sort.heads(visit, &COLUMNS),
            rows: rows
                .map(|(c, q)| QueueRow::of(state, c, q, visit.now))
                .collect(),
            hidden: queues.len().saturating_sub(ROWS),
            has_rabbitmq: rabbitmq().next().is_some(),
        }
    }
}

impl QueueRow {
    fn of(
        state: &AppState,
        cluster: &ClusterSnapshot,
        queue: &QueueStatus,
        now: Timestamp,
    ) -> Self {
        let sample = &queue.sample;
        let series = Series::QueueDepth(sample.vhost.clone(), sample.queue.clone());
        let line = state.lately(&cluster.name, series, now);
        let vhost = sample.vhost.as_str();
        Self {
            key: format!("{}/{vhost}/{}", cluster.name, sample.queue),
            href: queue_path(&cluster.name, vhost, sample.queue.as_str()),
            is_stale: is_stale(state, cluster, now),
            role: role_badge(queue.role),
            queue: sample.queue.to_string(),
            vhost: if vhost == "/" {
                String::new()
            } else {
                vhost.to_owned()
            },
            kind: sample.queue_type.as_str(),
            ready: markup::optional_count(sample.ready, NOT_GIVEN),
            unacked: markup::optional_count(sample.unacked, NOT_GIVEN),
            consumers: markup::optional_count(sample.consumers, NOT_GIVEN),
            publish: markup::rate(queue.rates.publish),
            settle: markup::rate(queue.rates.settle),
            redeliver: markup::rate(queue.rates.redeliver),
            dead_letters_to: dead_letter_links(cluster, queue),
            warning: warning(queue),
            spark: chart::sparkline("Depth", Unit::Count, &line),
        }
    }
}

pub(super) fn queue_path(cluster: &ClusterName, vhost: &str, queue: &str) -> String {
    path(["queues", cluster.as_str(), vhost, queue])
}

pub(super) fn dead_letter_links(cluster: &ClusterSnapshot, queue: &QueueStatus) -> Vec<QueueLink> {
    let vhost = queue.sample.vhost.as_str();
    let link = |target: &crate::domain::QueueName| QueueLink {
        name: target.to_string(),
        href: queue_path(&cluster.name, vhost, target.as_str()),
    };
    queue.dead_letters_to.iter().map(link).collect()
}

pub(super) fn role_badge(role: QueueRole) -> Markup {
    let status = match role {
        QueueRole::Work => Status::Ok,
        QueueRole::Retry => Status::Warning,
        QueueRole::Dlq => Status::Critical,
        QueueRole::Parking => Status::Idle,
    };
    let word = match role {
        QueueRole::Dlq => "DLQ",
        other => other.as_str(),
    };
    markup::badge(status, word)
}

/// What deserves a look: dead letters that vanish, work that makes no progress or that nobody does.
pub(super) fn warning(queue: &QueueStatus) -> Markup {
    let sample = &queue.sample;
    if queue.dead_letters_unroutable {
        return markup::status(Status::Critical, "dead letters vanish");
    }
    if queue.circling.is_some() {
        return markup::status(Status::Critical, "circling");
    }
    let waiting = sample.ready.unwrap_or(0) > 0;
    if queue.role == QueueRole::Work && waiting && sample.consumers == Some(0) {
        return markup::status(Status::Warning, "nobody consumes");
    }
    askama::filters::Safe(String::new())
}

/// Messages that RabbitMQ dropped because their queue names no dead-letter exchange.
fn discarded(cluster: &ClusterSnapshot) -> Option<String> {
    let counters = cluster.rabbitmq()?.dead_lettered.iter();
    let lost = counters.filter(|counter| counter.strategy == "disabled" && counter.count > 0);
    let parts: Vec<_> = lost
        .map(|c| {
            format!(
                "{} {} ({} queues)",
                markup::thousands(c.count),
                c.reason,
                c.queue_type
            )
        })
        .collect();
    (!parts.is_empty()).then(|| {
        format!(
            "{} discarded messages because their queues have no dead-letter exchange: {}. Set \
             dead-letter-exchange by a policy to keep them.",
            cluster.name,
            parts.join(", ")
        )
    })
}

fn circling(queues: &[(&ClusterSnapshot, &QueueStatus)], now: Timestamp) -> Vec<String> {
    let circling = queues
        .iter()
        .filter_map(|(_, queue)| Some(circles(queue, queue.circling.as_ref()?, now)));
    circling.take(CIRCLING).collect()
}

fn compare(
    key: &str,
    (_, a): &(&ClusterSnapshot, &QueueStatus),
    (_, b): &(&ClusterSnapshot, &QueueStatus),
) -> Ordering {
    match key {
        "queue" => a.sample.queue.cmp(&b.sample.queue),
        "type" => a
            .sample
            .queue_type
            .as_str()
            .cmp(b.sample.queue_type.as_str()),
        "ready" => a.sample.ready.cmp(&b.sample.ready),
        "unacked" => a.sample.unacked.cmp(&b.sample.unacked),
        "consumers" => a.sample.consumers.cmp(&b.sample.consumers),
        "publish" => by_number(a.rates.publish, b.rates.publish),
        "settle" => by_number(a.rates.settle, b.rates.settle),
        "redeliver" => by_number(a.rates.redeliver, b.rates.redeliver),
        _ => role_order(a.role).cmp(&role_order(b.role)),
    }
}

const fn role_order(role: QueueRole) -> u8 {
    match role {
        QueueRole::Work => 0,
        QueueRole::Retry => 1,
        QueueRole::Dlq => 2,
        QueueRole::Parking => 3,
    }
}

fn sentence(queues: &[(&ClusterSnapshot, &QueueStatus)]) -> String {
    let ready = |role: QueueRole| -> u64 {
        let of_role = queues.iter().filter(|(_, queue)| queue.role == role);
        of_role.filter_map(|(_, queue)| queue.sample.ready).sum()
    };
    format!(
        "{}, {} ready in work queues, {} in DLQs.",
        markup::counted(queues.len() as u64, "queue", "queues"),
        markup::counted(ready(QueueRole::Work), "message", "messages"),
        markup::thousands(ready(QueueRole::Dlq)),
    )
}
