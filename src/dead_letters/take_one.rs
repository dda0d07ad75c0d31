use super::observe::{LookError, Observer};
use crate::brokers::rabbitmq::amqp::{LookOrder, hold_window};
use crate::domain::{
    Custody, DeadLetterId, DeadLetterStatus, DeadLetterSummary, LookCost, Position, QueuePlace,
    Timestamp,
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
        self.refusal(&place_of(letter)?)
    }

    /// What it costs the first messages of its queue to take a dead letter into custody, if it costs something.
    pub fn take_cost(&self, letter: &DeadLetterSummary) -> Option<LookCost> {
        self.look_cost(&place_of(letter)?)
    }

    /// Takes one dead letter out of its observed queue: reads from the head up to it, stores it,
    /// acknowledges it alone, and gives back what lies before it. Where a look costs something, so does this, and
    /// it is done only if that is accepted.
    pub async fn take(
        &self,
        id: DeadLetterId,
        requester: &Requester,
        accepts_cost: bool,
    ) -> Result<(), LookError> {
        let store = &self.context.store;
        let letter = store.dead_letter_summary(id).await?;
        let not_taken = |reason: &str| LookError::NotTaken {
            id,
            reason: reason.to_owned(),
        };
        let (Position::RabbitMq { fingerprint, .. }, Some(place)) =
            (&letter.position, place_of(&letter))
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
        let (config, _) = self.permitted(&place)?;
        let _alone = self.context.looks.alone(&place).await;
        let order = LookOrder {
            up_to: Some(fingerprint),
            accepts_cost,
            ..LookOrder::free(self.context.config.dead_letters.observe_window)
        };
        let timeout = *self.context.config.sampling.request_timeout;
        let mut held = hold_window(&config, timeout, &place, order).await?;
        let taken = held.take_wanted();
        self.keep_worn(&place, &mut held).await?;
        let Some(taken) = taken else {
            held.give_back().await?;
            return Err(not_taken(
                "it is not among the first messages of its queue any more; look at the queue again",
            ));
        };
        let now = Timestamp::now();
        let stored = self.letter(&place, taken.message.clone(), Custody::Store, now);
        let detail = serde_json::json!({ "dead_letter": id.0, "queue": place.queue,
            "vhost": place.vhost, "cluster": place.cluster, "delivery_limit": held.cost().map(|cost| cost.limit) });
        let entry = requester.entry(now, "custody.take", detail);
        let session = store.begin_custody().await?;
        if !store.take_observed(&session, id, &stored, &entry).await? {
            held.messages.push(taken);
            self.keep_worn(&place, &mut held).await?;
            held.give_back().await?;
            return Err(not_taken("somebody else has changed it in this moment"));
        }
        // It is on disk; only now may the queue forget it. If that fails, it may come back, and is then
        // shown as a possible duplicate of this one.
        held.acknowledge(&[taken]).await?;
        store.acknowledged(&session).await?;
        held.give_back().await?;
        Ok(())
    }
}

/// The queue in which a dead letter of RabbitMQ lies or lay.
fn place_of(letter: &DeadLetterSummary) -> Option<QueuePlace> {
    let Position::RabbitMq { vhost, queue, .. } = &letter.position else {
        return None;
    };
    Some(QueuePlace {
        cluster: letter.cluster.clone(),
        vhost: vhost.clone(),
        queue: queue.clone(),
    })
}
