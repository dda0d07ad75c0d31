use super::observe::{LookError, Observer};
use crate::brokers::rabbitmq::amqp::hold_message;
use crate::domain::{
    Custody, DeadLetterId, DeadLetterStatus, DeadLetterSummary, Position, Timestamp,
};
use crate::store::NewAuditEntry;

/// Who asked for something that is audited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requester {
    pub name: String,
    /// The address from which they asked.
    pub address: String,
}

impl Requester {
    pub(super) fn entry(
        &self,
        at: Timestamp,
        action: &str,
        detail: serde_json::Value,
    ) -> NewAuditEntry {
        NewAuditEntry {
            at,
            actor: self.name.clone(),
            address: self.address.clone(),
            action: action.to_owned(),
            detail,
        }
    }
}

impl Observer {
    /// Why a dead letter of an observed queue cannot be taken into custody now, for the button's
    /// explanation; `None` if it can, or if there is nothing to take.
    pub fn take_refusal(&self, letter: &DeadLetterSummary) -> Option<String> {
        let Position::RabbitMq { vhost, queue, .. } = &letter.position else {
            return None;
        };
        self.refusal(&letter.cluster, vhost, queue)
    }

    /// Takes one dead letter out of its observed queue: reads from the head up to it, stores it,
    /// acknowledges it alone, and gives back what lies before it.
    pub async fn take(&self, id: DeadLetterId, requester: &Requester) -> Result<(), LookError> {
        let store = &self.context.store;
        let letter = store.dead_letter_summary(id).await?;
        let not_taken = |reason: &str| LookError::NotTaken {
            id,
            reason: reason.to_owned(),
        };
        let Position::RabbitMq {
            vhost,
            queue,
            fingerprint,
        } = &letter.position
        else {
            return Err(not_taken("it lies in Kafka, which keeps it anyway"));
        };
        match letter.custody {
            Custody::Broker => {}
            Custody::Store => return Err(not_taken("it is in the store already")),
            Custody::Stream => {
                return Err(not_taken(
                    "its stream keeps it; it can be replayed as it is",
                ));
            }
        }
        if letter.status != DeadLetterStatus::Open {
            return Err(not_taken("it is not open; look at its queue again"));
        }
        let config = self.permitted(&letter.cluster, vhost, queue)?;
        let window = self.context.config.dead_letters.observe_window;
        let timeout = *self.context.config.sampling.request_timeout;
        let held = hold_message(&config, timeout, (vhost, queue), window, fingerprint).await?;
        let Some(held) = held else {
            return Err(not_taken(
                "it is not among the first messages of its queue any more; look at the queue again",
            ));
        };
        let now = Timestamp::now();
        let message = held.taken.message.clone();
        let taken = self.letter(
            (&letter.cluster, vhost, queue),
            message,
            Custody::Store,
            now,
        );
        let detail = serde_json::json!({ "dead_letter": id.0, "queue": queue, "vhost": vhost,
            "cluster": letter.cluster });
        let entry = requester.entry(now, "custody.take", detail);
        let session = store.begin_custody().await?;
        if !store.take_observed(&session, id, &taken, &entry).await? {
            held.give_back().await?;
            return Err(not_taken("somebody else has changed it in this moment"));
        }
        // It is on disk; only now may the queue forget it. If that fails, it may come back, and is then
        // shown as a possible duplicate of this one.
        held.acknowledge().await?;
        Ok(store.acknowledged(&session).await?)
    }
}
