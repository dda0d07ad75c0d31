use std::fmt::Write as _;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::frame::NavigationEntry;
use super::freshness::health_of;
use super::notifications::{NotificationRow, notification_rows};
use super::retention_view::{RetentionView, retention_view};
use super::trace_export_view::{TraceExportView, trace_export_view};
use crate::dead_letters::{IntakeState, IntakeStatus};
use crate::domain::{ClusterDetail, ClusterSnapshot, FilterField, Timestamp};
use crate::store::{DlqDepth, Gap, GapKind};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::markup::{self, Status};
use crate::web::parameters::list_url;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// Gaps that the page shows.
const GAPS: u32 = 100;

struct Fact {
    name: String,
    value: String,
}

struct BrokerPanel {
    name: String,
    system: &'static str,
    status: Markup,
    error: String,
    age: Markup,
    facts: Vec<Fact>,
    problems: Vec<String>,
    sees: String,
    cost: String,
    requests: Vec<Fact>,
    read_only: bool,
}

struct DlqRow {
    dlq: String,
    cluster: String,
    vhost: String,
    open: Markup,
    oldest: Markup,
    href: String,
}

struct IntakeRow {
    cluster: String,
    source: String,
    state: Markup,
    reason: String,
    since: Markup,
    indexed: Markup,
    last: Markup,
}

struct GapRow {
    cluster: String,
    place: String,
    range: String,
    why: &'static str,
    found: Markup,
}

/// What Redrive can and cannot do with these brokers, and what it costs them.
#[derive(Template)]
#[template(path = "status.html")]
pub(crate) struct StatusPage {
    sentence: String,
    version: &'static str,
    interval: String,
    retention: RetentionView,
    store_url: String,
    brokers: Vec<BrokerPanel>,
    patterns: String,
    dlqs: Vec<DlqRow>,
    intakes: Vec<IntakeRow>,
    notifications: Vec<NotificationRow>,
    trace_export: Option<TraceExportView>,
    gaps: Vec<GapRow>,
    csrf: String,
}

pub(crate) async fn status(
    State(state): State<AppState>,
    visit: Visit,
) -> Result<Response, Problem> {
    let content = StatusPage::load(&state, &visit).await?;
    visit.page(&state, NavigationEntry::Status, "Status", &content)
}

impl StatusPage {
    async fn load(state: &AppState, visit: &Visit) -> Result<Self, Problem> {
        let snapshot = state.snapshot();
        let now = visit.now;
        let up = snapshot
            .clusters
            .iter()
            .filter(|cluster| cluster.health.up)
            .count();
        let depths = state.store.dlq_depths().await?;
        let gaps = state.store.gaps(GAPS).await?;
        Ok(Self {
            sentence: format!(
                "{up} of {} up, {} found.",
                markup::counted(snapshot.clusters.len() as u64, "broker", "brokers"),
                markup::counted(depths.len() as u64, "DLQ", "DLQs"),
            ),
            version: env!("CARGO_PKG_VERSION"),
            interval: markup::duration(*state.config.sampling.interval),
            retention: retention_view(state, now).await?,
            store_url: state.config.store.url.clone(),
            brokers: snapshot
                .clusters
                .iter()
                .map(|c| broker_panel(state, c, now))
                .collect(),
            patterns: state.config.dead_letters.kafka_topics.join(", "),
            dlqs: depths
                .into_iter()
                .map(|depth| dlq_row(depth, now))
                .collect(),
            intakes: state
                .intake
                .statuses()
                .into_iter()
                .map(|i| intake_row(i, now))
                .collect(),
            notifications: notification_rows(state, now).await?,
            trace_export: trace_export_view(state, now),
            csrf: visit.csrf.clone(),
            gaps: gaps
                .into_iter()
                .map(|(c, gap, at)| gap_row(&c, &gap, at, now))
                .collect(),
        })
    }
}

fn broker_panel(state: &AppState, cluster: &ClusterSnapshot, now: Timestamp) -> BrokerPanel {
    let health = &cluster.health;
    let (status, word) = health_of(state, cluster, now);
    let fact = |(name, value): &(String, String)| Fact {
        name: name.clone(),
        value: value.clone(),
    };
    let requests = health.cost.requests_by_api.iter();
    let kafka = state.config.kafka.iter().map(|k| (&k.name, k.read_only));
    let rabbitmq = state.config.rabbitmq.iter().map(|r| (&r.name, r.read_only));
    BrokerPanel {
        name: cluster.name.to_string(),
        system: cluster.system.as_str(),
        status: markup::status(status, word),
        error: health.error.clone().unwrap_or_default(),
        age: markup::optional_ago(health.last_success, now, "no sample yet"),
        facts: health.facts.iter().map(fact).collect(),
        problems: health.problems.clone(),
        sees: sees(cluster),
        cost: cost(state, cluster),
        requests: requests
            .map(|(api, count)| Fact {
                name: api.clone(),
                value: count.to_string(),
            })
            .collect(),
        read_only: kafka
            .chain(rabbitmq)
            .any(|(name, read_only)| *name == cluster.name && read_only),
    }
}

fn cost(state: &AppState, cluster: &ClusterSnapshot) -> String {
    let health = &cluster.health;
    let mut cost = format!(
        "{} in {}",
        markup::counted(health.cost.requests, "request", "requests"),
        markup::duration(health.cost.duration)
    );
    if let Some(encoding) = state.metrics.encoding_cost(&cluster.name) {
        let own_work = health.deriving_took + encoding.took;
        let series = markup::counted(encoding.series as u64, "series", "series");
        let own_work = markup::duration(own_work);
        let _ = write!(cost, ", then {own_work} to work out and write {series}");
    }
    cost
}

fn sees(cluster: &ClusterSnapshot) -> String {
    match &cluster.detail {
        None => "nothing yet".to_owned(),
        Some(ClusterDetail::Kafka(kafka)) => {
            let partitions: usize = kafka
                .topics
                .iter()
                .map(|topic| topic.partitions.len())
                .sum();
            format!(
                "{}, {}, {}",
                markup::counted(kafka.topics.len() as u64, "topic", "topics"),
                markup::counted(partitions as u64, "partition", "partitions"),
                markup::counted(kafka.groups.len() as u64, "group", "groups"),
            )
        }
        Some(ClusterDetail::RabbitMq(rabbitmq)) => format!(
            "{}, {}, {}",
            markup::counted(rabbitmq.queues.len() as u64, "queue", "queues"),
            markup::counted(rabbitmq.exchanges.len() as u64, "exchange", "exchanges"),
            markup::counted(rabbitmq.bindings.len() as u64, "binding", "bindings"),
        ),
    }
}

fn dlq_row(depth: DlqDepth, now: Timestamp) -> DlqRow {
    let mut filter = FilterField::Dlq.term(&depth.dlq);
    if !depth.vhost.is_empty() {
        filter = format!("{filter} {}", FilterField::Vhost.term(&depth.vhost));
    }
    let cluster = FilterField::Cluster.term(depth.cluster.as_str());
    DlqRow {
        href: list_url(&format!("{filter} {cluster}")),
        open: markup::count(depth.open),
        oldest: markup::optional_ago(depth.oldest, now, "nothing is open"),
        dlq: depth.dlq,
        cluster: depth.cluster.to_string(),
        vhost: depth.vhost,
    }
}

fn intake_row(intake: IntakeStatus, now: Timestamp) -> IntakeRow {
    let (status, word, reason) = match intake.state {
        IntakeState::Waiting(reason) => (Status::Idle, "waiting", reason),
        IntakeState::Reading => (Status::Ok, "reading", String::new()),
        IntakeState::ReadingInPart(reason) => (Status::Warning, "reading in part", reason),
        IntakeState::Refused(reason) => (Status::Warning, "not read", reason),
        IntakeState::Failing(reason) => (Status::Critical, "failing", reason),
    };
    IntakeRow {
        cluster: intake.cluster.to_string(),
        source: intake.source,
        state: markup::status(status, word),
        reason,
        since: markup::ago(intake.since, now),
        indexed: markup::count(intake.indexed),
        last: markup::optional_ago(intake.last_indexed, now, "nothing since Redrive started"),
    }
}

fn gap_row(
    cluster: &crate::domain::ClusterName,
    gap: &Gap,
    at: Timestamp,
    now: Timestamp,
) -> GapRow {
    GapRow {
        cluster: cluster.to_string(),
        place: format!("{}, partition {}", gap.topic, gap.partition),
        range: format!("offsets {} to {}", gap.from, gap.to),
        why: match gap.kind {
            GapKind::Retention => "retention or compaction removed them before they were read",
            GapKind::Recreated => "the topic was deleted and created anew",
            GapKind::Truncated => "the log was truncated or restored",
        },
        found: markup::ago(at, now),
    }
}
