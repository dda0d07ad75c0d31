//! Dead letters go back into the RabbitMQ queue that they were taken from. Each return is written down
//! before its message leaves; a message that may have arrived or not stays in the store, open, and what is
//! found in the queue later is marked as its possible duplicate.
//!
//! The work is a task of its own: whoever asked may hang up, and what was begun is still finished.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::observe::{LookError, Observer};
use super::take_one::Requester;
use crate::brokers::rabbitmq::amqp::{ReturnOutcome, ReturnPublisher, as_returned, fingerprint};
use crate::config::{QueueCustody, RabbitMqConfig};
use crate::crash;
use crate::domain::{
    BulkSelection, ClusterName, Custody, DeadLetterId, DeadLetterStatus, DeadLetterSummary,
    Message, Position, QueueName, RevisionNumber, Timestamp, VhostName,
};
use crate::store::{NewAuditEntry, Returning, Store, StoreError};

/// At most so many are selected by one request.
pub const MOST_RETURNS: u16 = 1_000;

/// After this time a request begins with no further dead letter, so that its answer is in time.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);

/// Why a dead letter of a long request is as before.
pub(super) const NOT_ITS_TURN: &str = "it was not its turn yet; ask again";

/// Returns that are written down together: a crash leaves at most so many unknown.
const AT_ONCE: usize = 50;

/// What became of the dead letters of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReturnReport {
    /// They lie in their queues.
    pub returned: Vec<DeadLetterId>,
    /// They are in the store as before.
    pub refused: Vec<(DeadLetterId, String)>,
    /// They are in the store, and may lie in their queues as well.
    pub unknown: Vec<(DeadLetterId, String)>,
}

/// A dead letter on its way back. Its message is read when it is its turn: bodies may be large.
struct Outgoing {
    id: DeadLetterId,
    queue: QueueName,
}

impl Observer {
    /// Why a dead letter cannot go back into its queue now, for the button's explanation.
    pub fn return_refusal(&self, letter: &DeadLetterSummary) -> Option<String> {
        self.may_return(letter).err()
    }

    fn may_return<'a>(
        &'a self,
        letter: &'a DeadLetterSummary,
    ) -> Result<(&'a RabbitMqConfig, &'a VhostName, &'a QueueName), String> {
        let Position::RabbitMq { vhost, queue, .. } = &letter.position else {
            return Err("it lies in Kafka, which keeps it anyway".to_owned());
        };
        if letter.custody != Custody::Store {
            return Err("it lies in its queue, as far as is known".to_owned());
        }
        if letter.status != DeadLetterStatus::Open {
            let status = letter.status;
            return Err(format!("it is {status}, and only what is open goes back"));
        }
        let mut clusters = self.context.config.rabbitmq.iter();
        let config = clusters.find(|config| config.name == letter.cluster);
        let cluster = &letter.cluster;
        let config =
            config.ok_or_else(|| format!("no RabbitMQ named {cluster} is configured any more"))?;
        if config.read_only {
            return Err(format!("{cluster} is configured with read_only = true"));
        }
        let custody = self.context.managed.custody(config, vhost, queue);
        if custody == Some(QueueCustody::Managed) {
            return Err(format!(
                "queue {queue} is managed, so Redrive would take it out again at once; end \
                 its custody first"
            ));
        }
        Ok((config, vhost, queue))
    }

    /// Publishes dead letters back into their queues: the originals, with their properties and headers. What
    /// does not begin in time is refused, and goes back when it is asked for again.
    pub async fn give_back(
        &self,
        selection: &BulkSelection,
        requester: &Requester,
    ) -> Result<ReturnReport, LookError> {
        self.give_back_within(selection, requester, REQUEST_LIMIT)
            .await
    }

    /// The same with a time of its own, after which nothing more begins. It goes on when nobody waits for it
    /// any more.
    pub async fn give_back_within(
        &self,
        selection: &BulkSelection,
        requester: &Requester,
        limit: Duration,
    ) -> Result<ReturnReport, LookError> {
        let (observer, selection) = (self.clone(), selection.clone());
        let (requester, deadline) = (requester.clone(), Instant::now() + limit);
        let work = async move { observer.return_all(&selection, &requester, deadline).await };
        match tokio::spawn(work).await {
            Ok(report) => report,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_cancelled) => Err(LookError::Stopping),
            },
        }
    }

    async fn return_all(
        &self,
        selection: &BulkSelection,
        requester: &Requester,
        deadline: Instant,
    ) -> Result<ReturnReport, LookError> {
        let mut report = ReturnReport::default();
        let mut places: BTreeMap<_, Vec<Outgoing>> = BTreeMap::new();
        for id in self.selected(selection).await? {
            let letter = match self.context.store.dead_letter_summary(id).await {
                Err(error @ StoreError::NoSuchDeadLetter(_)) => {
                    report.refused.push((id, error.to_string()));
                    continue;
                }
                letter => letter?,
            };
            match self.may_return(&letter) {
                Ok((_, vhost, queue)) => {
                    let place = places.entry((letter.cluster.clone(), vhost.clone()));
                    let queue = queue.clone();
                    place.or_default().push(Outgoing { id, queue });
                }
                Err(reason) => report.refused.push((id, reason)),
            }
        }
        for ((cluster, vhost), outgoing) in places {
            let work = ReturnWork::open(self, (cluster, vhost), requester, deadline).await?;
            for chunk in outgoing.chunks(AT_ONCE) {
                work.return_chunk(chunk, &mut report).await?;
            }
            work.publisher.close().await;
        }
        Ok(report)
    }

    pub(super) async fn selected(
        &self,
        selection: &BulkSelection,
    ) -> Result<Vec<DeadLetterId>, LookError> {
        let store = &self.context.store;
        let mut ids = match selection {
            BulkSelection::DeadLetters(ids) => ids.clone(),
            BulkSelection::Filter(filter) => {
                let all = (DeadLetterId(0), store.newest_id().await?);
                let limit = u32::from(MOST_RETURNS) + 1;
                let now = Timestamp::now();
                store.matching_ids_between(filter, now, all, limit).await?
            }
        };
        ids.sort_unstable();
        ids.dedup();
        if ids.len() > usize::from(MOST_RETURNS) {
            return Err(LookError::TooMany);
        }
        Ok(ids)
    }
}

/// One connection and what goes back over it.
struct ReturnWork<'a> {
    store: &'a Store,
    publisher: ReturnPublisher,
    cluster: ClusterName,
    vhost: VhostName,
    /// Under whose name it is published.
    user: String,
    requester: &'a Requester,
    /// Nothing begins after it.
    deadline: Instant,
    stop: &'a CancellationToken,
}

impl<'a> ReturnWork<'a> {
    async fn open(
        observer: &'a Observer,
        (cluster, vhost): (ClusterName, VhostName),
        requester: &'a Requester,
        deadline: Instant,
    ) -> Result<Self, LookError> {
        let context = &observer.context;
        let mut clusters = context.config.rabbitmq.iter();
        let config = clusters.find(|config| config.name == cluster);
        let config = config.ok_or_else(|| LookError::NoSuchCluster(cluster.clone()))?;
        let timeout = *context.config.replay.rabbitmq_confirm_timeout;
        Ok(Self {
            store: &context.store,
            publisher: ReturnPublisher::open(config, &vhost, timeout).await?,
            user: config.user(),
            cluster,
            vhost,
            requester,
            deadline,
            stop: &context.stop,
        })
    }

    fn is_over(&self) -> bool {
        self.stop.is_cancelled() || Instant::now() >= self.deadline
    }

    async fn message(&self, outgoing: &Outgoing) -> Result<Message, StoreError> {
        let original = self.store.message(outgoing.id, RevisionNumber(0)).await?;
        Ok(as_returned(&original, &outgoing.queue, &self.user))
    }

    async fn return_chunk(
        &self,
        chunk: &[Outgoing],
        report: &mut ReturnReport,
    ) -> Result<(), StoreError> {
        if self.is_over() {
            let left = chunk.iter().map(|one| (one.id, NOT_ITS_TURN.to_owned()));
            report.refused.extend(left);
            return Ok(());
        }
        let mut returning = Vec::with_capacity(chunk.len());
        for one in chunk {
            let message = self.message(one).await?;
            returning.push(Returning {
                dead_letter: one.id,
                fingerprint: fingerprint(&self.vhost, &one.queue, &message),
            });
        }
        let begun = self.store.begin_returns(&returning, &self.entry()).await?;
        let sent = self.send_chunk(chunk, &begun, report).await;
        if sent.is_err() {
            // It is not known which of them have left.
            self.store.doubt_returns(&begun).await?;
        }
        sent
    }

    async fn send_chunk(
        &self,
        chunk: &[Outgoing],
        begun: &[DeadLetterId],
        report: &mut ReturnReport,
    ) -> Result<(), StoreError> {
        for one in chunk {
            let not_tried = |reason: &str| ReturnOutcome::Refused {
                reason: reason.to_owned(),
            };
            let outcome = if !begun.contains(&one.id) {
                let reason = "it was changed in this moment".to_owned();
                report.refused.push((one.id, reason));
                continue;
            } else if !report.unknown.is_empty() {
                // A message whose fate is unknown breaks the connection; the next is surely not sent.
                not_tried("it was not tried after one whose return is unknown")
            } else if self.is_over() {
                not_tried(NOT_ITS_TURN)
            } else {
                let message = self.message(one).await?;
                self.publisher.publish(&one.queue, &message).await
            };
            crash::point("return.published");
            self.note(one.id, outcome, report).await?;
        }
        Ok(())
    }

    fn entry(&self) -> NewAuditEntry {
        let detail = serde_json::json!({ "cluster": self.cluster, "vhost": self.vhost });
        self.requester
            .entry(Timestamp::now(), "custody.return", detail)
    }

    async fn note(
        &self,
        id: DeadLetterId,
        outcome: ReturnOutcome,
        report: &mut ReturnReport,
    ) -> Result<(), StoreError> {
        match outcome {
            ReturnOutcome::Returned => {
                self.store.end_return(id).await?;
                report.returned.push(id);
            }
            ReturnOutcome::Refused { reason } => {
                self.store.undo_return(id).await?;
                report.refused.push((id, reason));
            }
            ReturnOutcome::Unknown { reason } => {
                self.store.doubt_return(id).await?;
                report.unknown.push((id, reason));
            }
        }
        Ok(())
    }
}
