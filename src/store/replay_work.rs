//! What the replay engines read: candidates, what is planned or under way.

use bytes::Bytes;
use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::dead_letters::{SUMMARY_COLUMNS, SummaryRow};
use super::replay_jobs::options_from;
use super::replays::{COLUMNS, ReplayRow, decode_destination, push_number_of, replay_id};
use super::{Store, StoreError};
use crate::domain::{
    ClusterName, DeadLetterId, DeadLetterSummary, Decoded, Destination, Origin, Replay, ReplayId,
    ReplayJobId, ReplayNumber, ReplayOptions, ReplayState, RevisionNumber, Timestamp, TopicName,
};

/// IDs in one `IN (…)` list.
const IDS_OF_A_QUERY: usize = 500;

/// What a plan needs to know of a dead letter.
#[derive(Clone, Debug)]
pub struct ReplayCandidate {
    pub summary: DeadLetterSummary,
    pub origin: Origin,
    pub body_omitted: Option<String>,
    /// The revision to send has another key than the original.
    pub key_edited: bool,
    /// The revision to send; it may be one that does not exist.
    pub revision: RevisionNumber,
    pub replayed_before: bool,
}

/// A planned replay with the key of the record that it will send.
#[derive(Clone, Debug)]
pub struct PlannedReplay {
    pub replay: Replay,
    /// Those of its job.
    pub options: ReplayOptions,
    pub key: Option<Bytes>,
    /// Bytes of the dead letter; an edit may have changed it a little.
    pub size: u64,
}

impl Store {
    /// The named dead letters that exist, in no order, for a plan that sends `revision`, or each
    /// one's latest.
    pub async fn replay_candidates(
        &self,
        ids: &[DeadLetterId],
        revision: Option<RevisionNumber>,
    ) -> Result<Vec<ReplayCandidate>, StoreError> {
        let mut candidates = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(IDS_OF_A_QUERY) {
            let mut query = QueryBuilder::<Sqlite>::new(format!(
                "SELECT {SUMMARY_COLUMNS}, b.decoded, b.body_omitted, \
                 EXISTS (SELECT 1 FROM replays r WHERE r.dead_letter = d.id AND r.state NOT IN \
                 ('planned', 'sending', 'unknown', 'failed', 'cancelled')) AS replayed_before, \
                 COALESCE((SELECT v.message_key IS NOT b.message_key FROM revisions v \
                 WHERE v.dead_letter = d.id AND v.number = COALESCE("
            ));
            query
                .push_bind(revision.map(|number| number.0))
                .push(", d.latest_revision)), 0) AS key_edited ")
                .push("FROM dead_letters d JOIN bodies b ON b.dead_letter = d.id WHERE d.id IN (");
            let mut list = query.separated(", ");
            for id in chunk {
                list.push_bind(id.0);
            }
            query.push(")");
            let rows: Vec<CandidateRow> = query.build_query_as().fetch_all(&self.reader).await?;
            for row in rows {
                candidates.push(row.into_candidate(revision)?);
            }
        }
        Ok(candidates)
    }

    /// What a job has still planned to one cluster, in the order in which it was planned: from the front, or
    /// after one of them.
    pub async fn planned_replays(
        &self,
        job: ReplayJobId,
        cluster: &ClusterName,
        after: Option<ReplayNumber>,
        limit: u32,
    ) -> Result<Vec<PlannedReplay>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT id, number, dead_letter, revision, destination, attempt, updated_at_ms, \
             message_key, size \
             FROM replays WHERE stage = 'to_send' AND state = 'planned' AND job_number = ",
        );
        push_number_of(&mut query, &job.to_string());
        query.push(" AND cluster_number = ");
        push_number_of(&mut query, cluster.as_str());
        query
            .push(" AND number > ")
            .push_bind(after.map_or(0, |number| number.0))
            .push(" ORDER BY number LIMIT ")
            .push_bind(i64::from(limit));
        let rows: Vec<PlannedRow> = query.build_query_as().fetch_all(&self.reader).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let options: String = sqlx::query_scalar("SELECT options FROM replay_jobs WHERE id = ?")
            .bind(job.to_string())
            .fetch_one(&self.reader)
            .await?;
        let options = options_from(&options);
        let mut planned: Vec<PlannedReplay> = Vec::with_capacity(rows.len());
        let mut destination = Decoding::default();
        for row in rows {
            let destination = destination.of(&row.destination)?;
            planned.push(row.into_planned(job, options, destination));
        }
        Ok(planned)
    }

    /// The next replays that a job has planned, to whatever cluster.
    pub async fn first_planned(
        &self,
        job: ReplayJobId,
        limit: u32,
    ) -> Result<Vec<ReplayNumber>, StoreError> {
        let numbers: Vec<i64> = sqlx::query_scalar(
            "SELECT number FROM replay_states \
             WHERE job = (SELECT number FROM replay_names WHERE name = ?) AND state = 'planned' \
             ORDER BY number LIMIT ?",
        )
        .bind(job.to_string())
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        Ok(numbers.into_iter().map(ReplayNumber).collect())
    }

    /// Replays to one cluster that are being sent, or were when the process ended.
    pub async fn sending_replays(&self, cluster: &ClusterName) -> Result<Vec<Replay>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "SELECT {COLUMNS} FROM replays WHERE state = 'sending' \
             AND cluster_number = "
        ));
        push_number_of(&mut query, cluster.as_str());
        query.push(" ORDER BY number");
        let rows: Vec<ReplayRow> = query.build_query_as().fetch_all(&self.reader).await?;
        rows.into_iter().map(ReplayRow::into_replay).collect()
    }

    /// The planned replays of the same job that would send a record of the same key to this topic. A
    /// record without a key has no such siblings.
    pub async fn planned_of_same_key(
        &self,
        replay: &Replay,
        topic: &TopicName,
    ) -> Result<Vec<ReplayId>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "SELECT id FROM replays WHERE stage = 'to_send' AND state = 'planned' AND message_key = \
             (SELECT message_key FROM replay_plans WHERE number = ",
        );
        query.push_bind(replay.number.0).push(") AND topic = ");
        query.push_bind(topic.as_str().to_owned());
        query.push(" AND job_number = ");
        push_number_of(&mut query, &replay.job.to_string());
        query.push(" ORDER BY number");
        let ids: Vec<String> = query.build_query_scalar().fetch_all(&self.reader).await?;
        Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
    }

    /// Clusters to which a job has still something planned.
    pub async fn clusters_of_planned(
        &self,
        job: ReplayJobId,
    ) -> Result<Vec<ClusterName>, StoreError> {
        // One seek a cluster instead of a walk through everything that is planned.
        let (mut clusters, mut last) = (Vec::new(), 0);
        loop {
            let next: Option<(i64, String)> = sqlx::query_as(
                "SELECT cluster_number, cluster FROM replays \
                 WHERE job_number = (SELECT number FROM replay_names WHERE name = ?) \
                 AND stage = 'to_send' AND cluster_number > ? ORDER BY cluster_number LIMIT 1",
            )
            .bind(job.to_string())
            .bind(last)
            .fetch_optional(&self.reader)
            .await?;
            match next {
                Some((number, cluster)) => {
                    clusters.push(cluster.into());
                    last = number;
                }
                None => return Ok(clusters),
            }
        }
    }

    /// Clusters to which replays are planned or being sent.
    pub async fn clusters_of_open_replays(&self) -> Result<Vec<ClusterName>, StoreError> {
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM replay_names WHERE number IN \
                 (SELECT cluster FROM replay_states WHERE stage = 'to_send')",
        )
        .fetch_all(&self.reader)
        .await?;
        Ok(names.into_iter().map(ClusterName::from).collect())
    }
}

#[derive(Debug, FromRow)]
struct CandidateRow {
    #[sqlx(flatten)]
    summary: SummaryRow,
    decoded: String,
    body_omitted: Option<String>,
    replayed_before: bool,
    key_edited: bool,
}

impl CandidateRow {
    fn into_candidate(
        self,
        revision: Option<RevisionNumber>,
    ) -> Result<ReplayCandidate, StoreError> {
        let summary = DeadLetterSummary::from(self.summary);
        let decoded: Decoded =
            serde_json::from_str(&self.decoded).map_err(StoreError::corrupt("decoded"))?;
        Ok(ReplayCandidate {
            origin: decoded.origin,
            body_omitted: self.body_omitted,
            key_edited: self.key_edited,
            revision: revision.unwrap_or(summary.latest_revision),
            replayed_before: self.replayed_before,
            summary,
        })
    }
}

/// Reads destinations, of which most are the one before.
#[derive(Default)]
struct Decoding {
    last: Option<(String, Destination)>,
}

impl Decoding {
    fn of(&mut self, json: &str) -> Result<Destination, StoreError> {
        if let Some((_, destination)) = self.last.as_ref().filter(|(last, _)| last == json) {
            return Ok(destination.clone());
        }
        let destination = decode_destination(json)?;
        self.last = Some((json.to_owned(), destination.clone()));
        Ok(destination)
    }
}

#[derive(Debug, FromRow)]
struct PlannedRow {
    id: String,
    number: i64,
    dead_letter: i64,
    revision: u32,
    destination: String,
    attempt: u32,
    updated_at_ms: i64,
    message_key: Option<Vec<u8>>,
    size: i64,
}

impl PlannedRow {
    fn into_planned(
        self,
        job: ReplayJobId,
        options: ReplayOptions,
        destination: Destination,
    ) -> PlannedReplay {
        let replay = Replay {
            id: replay_id(&self.id),
            number: ReplayNumber(self.number),
            job,
            dead_letter: DeadLetterId(self.dead_letter),
            revision: RevisionNumber(self.revision),
            destination,
            attempt: self.attempt,
            state: ReplayState::Planned,
            updated_at: Timestamp(self.updated_at_ms),
        };
        PlannedReplay {
            replay,
            options,
            key: self.message_key.map(Bytes::from),
            size: u64::try_from(self.size).unwrap_or(0),
        }
    }
}
