use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::{QueueCustody, RabbitMqConfig};
use crate::domain::{QueueName, QueuePlace, VhostName};
use crate::store::{Store, StoreError};

/// The queues that an administrator has given into custody on their pages, beside those of the
/// configuration. Cheap to clone; all clones know the same.
#[derive(Clone, Debug)]
pub struct ManagedQueues {
    places: Arc<watch::Sender<BTreeSet<QueuePlace>>>,
}

impl Default for ManagedQueues {
    fn default() -> Self {
        Self {
            places: Arc::new(watch::Sender::new(BTreeSet::new())),
        }
    }
}

impl ManagedQueues {
    /// What the store remembers.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let places = store.managed_queues().await?.into_iter();
        let place = |(cluster, vhost, queue)| QueuePlace {
            cluster,
            vhost,
            queue,
        };
        Ok(Self {
            places: Arc::new(watch::Sender::new(places.map(place).collect())),
        })
    }

    /// What is known now, and every change.
    pub fn subscribe(&self) -> watch::Receiver<BTreeSet<QueuePlace>> {
        self.places.subscribe()
    }

    pub fn contains(&self, place: &QueuePlace) -> bool {
        self.places.borrow().contains(place)
    }

    /// After the store was told.
    pub(super) fn add(&self, place: QueuePlace) {
        self.places.send_modify(|places| {
            places.insert(place);
        });
    }

    /// After the store was told.
    pub(super) fn remove(&self, place: &QueuePlace) {
        self.places.send_modify(|places| {
            places.remove(place);
        });
    }

    /// Who keeps the messages of a queue, if anybody has said so: the configuration before the page.
    pub fn custody(
        &self,
        config: &RabbitMqConfig,
        vhost: &VhostName,
        queue: &QueueName,
    ) -> Option<QueueCustody> {
        let configured = config.queue(vhost, queue).and_then(|queue| queue.custody);
        configured.or_else(|| {
            let place = QueuePlace {
                cluster: config.name.clone(),
                vhost: vhost.clone(),
                queue: queue.clone(),
            };
            self.contains(&place).then_some(QueueCustody::Managed)
        })
    }
}
