//! An administrator gives a queue into custody, or ends that.

use super::observe::{LookError, Observer};
use super::take_one::Requester;
use crate::brokers::rabbitmq::amqp::managed_refusal;
use crate::brokers::rabbitmq::{BrokerVersion, ManagementClient};
use crate::config::{QueueCustody, RabbitMqConfig};
use crate::domain::{QueuePlace, QueueRole, QueueStatus, Timestamp};

impl Observer {
    /// Why a queue cannot be given into custody, by what the last sample says; `None` if it can.
    pub fn manage_refusal(&self, place: &QueuePlace) -> Option<String> {
        self.manageable(place).err().map(|error| error.to_string())
    }

    /// Who keeps the messages of a queue, if anybody has said so.
    pub fn custody(&self, place: &QueuePlace) -> Option<QueueCustody> {
        let mut clusters = self.context.config.rabbitmq.iter();
        let config = clusters.find(|config| config.name == place.cluster)?;
        self.context
            .managed
            .custody(config, &place.vhost, &place.queue)
    }

    /// Whether the custody of a queue was decided on its page, where it can be ended too.
    pub fn is_managed_by_page(&self, place: &QueuePlace) -> bool {
        self.context.managed.contains(place)
    }

    /// From now on the messages of the queue are moved into the store as they arrive. Asks RabbitMQ once
    /// more whether that could harm.
    pub async fn manage(&self, place: QueuePlace, requester: &Requester) -> Result<(), LookError> {
        let config = self.manageable(&place)?;
        let refused = |reason: String| LookError::Refused {
            queue: place.queue.clone(),
            reason,
        };
        let timeout = *self.context.config.sampling.request_timeout;
        let asked = async {
            let management = ManagementClient::new(&config.management_url, timeout)?;
            let version = management.overview().await?.version;
            let details = management.queue(&place.vhost, &place.queue).await?;
            Ok((version, details))
        };
        let (version, details) = asked.await.map_err(LookError::Management)?;
        let details = details.ok_or_else(|| refused("it does not exist any more".to_owned()))?;
        if let Some(reason) = managed_refusal(&details.sample, &version, 0) {
            return Err(refused(reason));
        }
        let entry = requester.entry(Timestamp::now(), "custody.manage", detail(&place));
        let store = &self.context.store;
        store
            .add_managed_queue(&place.cluster, (&place.vhost, &place.queue), &entry)
            .await?;
        self.context.managed.add(place);
        Ok(())
    }

    /// Ends a custody that was decided on the page. What was moved stays in the store.
    pub async fn stop_managing(
        &self,
        place: &QueuePlace,
        requester: &Requester,
    ) -> Result<(), LookError> {
        if !self.is_managed_by_page(place) {
            return Err(LookError::Refused {
                queue: place.queue.clone(),
                reason:
                    "it was not given into custody on its page; see [[rabbitmq.queues]] in the \
                         configuration"
                        .to_owned(),
            });
        }
        let entry = requester.entry(Timestamp::now(), "custody.unmanage", detail(place));
        let store = &self.context.store;
        store
            .remove_managed_queue(&place.cluster, (&place.vhost, &place.queue), &entry)
            .await?;
        self.context.managed.remove(place);
        Ok(())
    }

    fn manageable(&self, place: &QueuePlace) -> Result<&RabbitMqConfig, LookError> {
        let refused = |reason: &str| LookError::Refused {
            queue: place.queue.clone(),
            reason: reason.to_owned(),
        };
        let mut clusters = self.context.config.rabbitmq.iter();
        let config = clusters.find(|config| config.name == place.cluster);
        let config = config.ok_or_else(|| LookError::NoSuchCluster(place.cluster.clone()))?;
        if config.read_only {
            return Err(refused("rabbitmq.read_only is set"));
        }
        match self.custody(place) {
            Some(QueueCustody::Managed) => return Err(refused("it is managed already")),
            Some(QueueCustody::Observe) => {
                return Err(refused(
                    "the configuration says custody = \"observe\" for it",
                ));
            }
            None => {}
        }
        let snapshot = self.context.snapshots.borrow().clone();
        let detail = snapshot
            .cluster(&place.cluster)
            .and_then(|cluster| cluster.rabbitmq());
        let detail = detail.ok_or_else(|| refused("RabbitMQ was not sampled yet"))?;
        let is_it = |status: &&QueueStatus| {
            status.sample.vhost == place.vhost && status.sample.queue == place.queue
        };
        let status = detail.queues.iter().find(is_it);
        let status = status.ok_or_else(|| LookError::NoSuchQueue(place.queue.clone()))?;
        if status.role != QueueRole::Dlq {
            return Err(refused(
                "it is not proven to be a DLQ; a role can be configured for it",
            ));
        }
        let version = BrokerVersion::new(detail.version.as_str());
        match managed_refusal(&status.sample, &version, 0) {
            Some(reason) => Err(refused(&reason)),
            None => Ok(config),
        }
    }
}

fn detail(place: &QueuePlace) -> serde_json::Value {
    serde_json::json!({ "cluster": place.cluster, "vhost": place.vhost, "queue": place.queue })
}
