use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::charts::Charts;
use super::consumers::{drain, member_count, verdict};
use super::frame::NavigationEntry;
use super::freshness::{StaleNotice, is_stale, stale_notices};
use crate::domain::{
    ClusterName, ClusterSnapshot, ConsumerGroup, FilterField, GroupKind, GroupMember,
    GroupPartitionStatus, GroupStatus, GroupTopicStatus, GroupVerdict,
};
use crate::web::AppState;
use crate::web::escape::Markup;
use crate::web::lines::group_lines;
use crate::web::markup;
use crate::web::parameters::list_url;
use crate::web::path::Path;
use crate::web::problem::Problem;
use crate::web::visit::Visit;

/// Partitions of one topic that a page shows.
const PARTITIONS: usize = 500;

struct PartitionRow {
    key: String,
    partition: i32,
    member: String,
    committed: Markup,
    start: Markup,
    end: Markup,
    lag: Markup,
    time_lag: Markup,
    headroom: Markup,
}

struct TopicPanel {
    topic: String,
    lag: Markup,
    processed: Markup,
    lost: u64,
    partitions: Vec<PartitionRow>,
    hidden: usize,
    letters: String,
}

struct MemberRow {
    id: Markup,
    client: String,
    host: String,
    assignment: String,
}

/// One consumer group: per topic and partition, its members, its lag over time.
#[derive(Template)]
#[template(path = "consumer_group.html")]
pub(crate) struct ConsumerGroupPage {
    cluster: String,
    group: String,
    kind: &'static str,
    is_share_group: bool,
    state: String,
    status: Markup,
    advice: &'static str,
    stale: Vec<StaleNotice>,
    is_stale: bool,
    lag: Markup,
    time_lag: Markup,
    consume_rate: Markup,
    produce_rate: Markup,
    drain: Markup,
    lost: u64,
    charts: Charts,
    topics: Vec<TopicPanel>,
    member_count: Markup,
    /// Absent if the broker does not describe them.
    members: Option<Vec<MemberRow>>,
}

pub(crate) async fn consumer_group(
    State(state): State<AppState>,
    Path((cluster, group)): Path<(String, String)>,
    visit: Visit,
) -> Result<Response, Problem> {
    let snapshot = state.snapshot();
    let (cluster, group) = (ClusterName::new(cluster), ConsumerGroup::new(group));
    let found = snapshot
        .groups()
        .find(|(c, g)| c.name == cluster && g.group == group);
    let Some((cluster, status)) = found else {
        return Err(Problem::not_found(format!(
            "no group {:?} is known on {cluster}; a group disappears when its offsets expire",
            markup::cut_end(group.as_str(), 100)
        )));
    };
    let lines = group_lines(&cluster.name, &group);
    let charts = Charts::load(&state, &visit, &lines).await?;
    let content = ConsumerGroupPage::of(&state, &visit, (cluster, status), charts);
    visit.page(&state, NavigationEntry::Consumers, group.as_str(), &content)
}

impl ConsumerGroupPage {
    fn of(
        state: &AppState,
        visit: &Visit,
        (cluster, group): (&ClusterSnapshot, &GroupStatus),
        charts: Charts,
    ) -> Self {
        Self {
            cluster: cluster.name.to_string(),
            group: group.group.to_string(),
            kind: group.kind.as_str(),
            is_share_group: group.kind == GroupKind::Share,
            state: group.state.clone(),
            status: verdict(group),
            advice: advice(group.verdict),
            stale: stale_notices(state, std::iter::once(cluster), visit.now),
            is_stale: is_stale(state, cluster, visit.now),
            lag: markup::count(group.lag),
            time_lag: markup::time_lag(group.time_lag),
            consume_rate: markup::rate(group.consume_rate),
            produce_rate: markup::rate(group.produce_rate),
            drain: drain(group),
            lost: group.lost_total,
            charts,
            topics: group
                .topics
                .iter()
                .map(|topic| topic_panel(topic, &group.members))
                .collect(),
            member_count: member_count(group),
            members: (group.member_count().is_some())
                .then(|| group.members.iter().map(member_row).collect()),
        }
    }
}

/// What the verdict means and where to look next.
const fn advice(verdict: GroupVerdict) -> &'static str {
    match verdict {
        GroupVerdict::Ok => "It keeps up.",
        GroupVerdict::Slow => {
            "Its lag never shrank over the last samples: it reads more slowly than is written. Add \
             members up to the number of partitions, or look for what slows it down."
        }
        GroupVerdict::Rewound => {
            "A committed offset went back: somebody reset it, or two consumers share the group. \
             Messages will be read again."
        }
        GroupVerdict::Stalled => {
            "It has members and lag and commits nothing: a message may block it, or it waits for \
             something. Look at its log and at its members below."
        }
        GroupVerdict::Stopped => {
            "It has lag, commits nothing and has no members any more. Start it again."
        }
        GroupVerdict::NoMembers => "There is lag and nobody to read it. Start its consumers.",
        GroupVerdict::Lost => {
            "Retention removed messages before it read them. They are gone; the producer may still \
             have them."
        }
    }
}

fn topic_panel(topic: &GroupTopicStatus, members: &[GroupMember]) -> TopicPanel {
    let rows = topic.partitions.iter().take(PARTITIONS);
    TopicPanel {
        topic: topic.topic.to_string(),
        lag: markup::count(topic.lag),
        processed: markup::count(topic.processed_total),
        lost: topic.lost_total,
        partitions: rows
            .map(|partition| partition_row(topic, partition, members))
            .collect(),
        hidden: topic.partitions.len().saturating_sub(PARTITIONS),
        letters: list_url(&FilterField::Source.term(topic.topic.as_str())),
    }
}

fn partition_row(
    topic: &GroupTopicStatus,
    row: &GroupPartitionStatus,
    members: &[GroupMember],
) -> PartitionRow {
    let owner = members.iter().find(|member| {
        let mut assigned = member.assignment.iter();
        assigned.any(|(name, list)| *name == topic.topic && list.contains(&row.partition))
    });
    let offset = |offset: Option<crate::domain::Offset>| {
        offset.map_or_else(
            || markup::absent("its leader did not answer"),
            |offset| markup::count(u64::try_from(offset.0).unwrap_or(0)),
        )
    };
    PartitionRow {
        key: format!("{}/{}", topic.topic, row.partition),
        partition: row.partition.0,
        member: owner
            .map(|member| member.client_id.clone())
            .unwrap_or_default(),
        committed: offset(Some(row.committed)),
        start: offset(row.log_start),
        end: offset(row.log_end),
        lag: markup::optional_count(row.lag, "the end of the log is not known"),
        time_lag: markup::time_lag(row.time_lag),
        headroom: headroom(row.retention_headroom),
    }
}

fn headroom(share: Option<f64>) -> Markup {
    share.map_or_else(
        || markup::absent("the bounds of the log are not known"),
        |share| askama::filters::Safe(format!("{:.0} %", share.clamp(0.0, 1.0) * 100.0)),
    )
}

fn member_row(member: &GroupMember) -> MemberRow {
    let topics = member.assignment.iter().map(|(topic, partitions)| {
        let numbers: Vec<_> = partitions.iter().map(ToString::to_string).collect();
        format!("{topic}: {}", numbers.join(", "))
    });
    MemberRow {
        id: markup::identifier(&member.member_id),
        client: member.client_id.clone(),
        host: member.host.clone(),
        assignment: topics.collect::<Vec<_>>().join("; "),
    }
}
