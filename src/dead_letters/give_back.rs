//! Dead letters go back into the RabbitMQ queue that they were taken from. Each return is written down
//! before its message leaves; a message that may have arrived or not stays in the store, open, and what is
//! found in the queue later is marked as its possible duplicate.

use std::collections::BTreeMap;

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

/// At most so many go back by one request, which waits for all of them.
pub const MOST_RETURNS: u16 = 1_000;

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

    /// Publishes dead letters back into their queues: the originals, with their properties and headers.
    pub async fn give_back(
        &self,
        selection: &BulkSelection,
        requester: &Requester,
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
            let work = ReturnWork::open(self, (cluster, vhost), requester).await?;
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
}

impl<'a> ReturnWork<'a> {
    async fn open(
        observer: &'a Observer,
        (cluster, vhost): (ClusterName, VhostName),
        requester: &'a Requester,
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
        })
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
        let mut returning = Vec::with_capacity(chunk.len());
        for one in chunk {
            let message = self.message(one).await?;
            returning.push(Returning {
                dead_letter: one.id,
                fingerprint: fingerprint(&self.vhost, &one.queue, &message),
            });
        }
        let begun = self.store.begin_returns(&returning, &self.entry()).await?;
        for one in chunk {
            let outcome = if !begun.contains(&one.id) {
                report
                    .refused
                    .push((one.id, "it was changed in this moment".to_owned()));
                continue;
            } else if report.unknown.is_empty() {
                self.publisher
                    .publish(&one.queue, &self.message(one).await?)
                    .await
            } else {
                // A message whose fate is unknown breaks the connection; the next is surely not sent.
                ReturnOutcome::Refused {
                    reason: "it was not tried after one whose return is unknown".to_owned(),
                }
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
