use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use super::ManagedPlaces;
use super::board::Observation;
use super::derive_rabbitmq::RabbitMqState;
use super::task::ClusterSampler;
use crate::brokers::rabbitmq::RabbitMqSampler;
use crate::config::{QueueCustody, RabbitMqConfig};
use crate::domain::{
    BindingDestination, ClusterDetail, QueueKey, QueuePlace, QueueRole, RabbitMqSample,
    TopologyOverrides,
};
use crate::error_chain;

/// Looks at one RabbitMQ cluster.
pub(super) struct RabbitMqCluster {
    config: RabbitMqConfig,
    request_timeout: Duration,
    sampler: RabbitMqSampler,
    managed: ManagedPlaces,
    state: RabbitMqState,
}

impl RabbitMqCluster {
    pub(super) fn new(
        config: &RabbitMqConfig,
        request_timeout: Duration,
        managed: ManagedPlaces,
    ) -> Self {
        Self {
            config: config.clone(),
            request_timeout,
            sampler: RabbitMqSampler::new(config, request_timeout),
            managed,
            state: RabbitMqState::default(),
        }
    }

    fn derive(&mut self, mut sample: RabbitMqSample) -> Observation {
        let started = Instant::now();
        let taken_at = sample.taken_at;
        let cost = std::mem::take(&mut sample.cost);
        let problems = std::mem::take(&mut sample.problems);
        leave_out_taps(&mut sample);
        let facts = facts(&sample);
        let overrides = overrides(&self.config, &self.managed.borrow());
        let detail = self.state.derive(sample, &overrides);
        Observation {
            detail: ClusterDetail::RabbitMq(detail),
            taken_at,
            cost,
            deriving_took: started.elapsed(),
            problems,
            facts,
            publish_to_commit: Vec::new(),
        }
    }
}

impl ClusterSampler for RabbitMqCluster {
    async fn sample(&mut self) -> Result<Observation, String> {
        let sample = self.sampler.sample().await;
        sample
            .map(|sample| self.derive(sample))
            .map_err(|error| error_chain(&error))
    }

    fn reconnect(&mut self) {
        self.sampler = RabbitMqSampler::new(&self.config, self.request_timeout);
    }
}

/// What the configuration and the pages of the queues say and the topology cannot show: roles, and the
/// consumer that Redrive itself has on a managed queue. Who gives a queue into custody says that it is a DLQ.
fn overrides(config: &RabbitMqConfig, managed: &BTreeSet<QueuePlace>) -> TopologyOverrides {
    let mut overrides = TopologyOverrides::default();
    for queue in &config.queues {
        let key = (queue.vhost.clone(), queue.name.clone());
        let role = queue.role.or(queue.custody.map(|_| QueueRole::Dlq));
        overrides.roles.extend(role.map(|role| (key.clone(), role)));
        if queue.custody == Some(QueueCustody::Managed) && !config.read_only {
            overrides.own_consumers.insert(key, 1);
        }
    }
    for place in managed.iter().filter(|place| place.cluster == config.name) {
        let key = (place.vhost.clone(), place.queue.clone());
        let role = overrides.roles.entry(key.clone());
        role.or_insert(QueueRole::Dlq);
        if !config.read_only {
            overrides.own_consumers.insert(key, 1);
        }
    }
    overrides
}

/// What Redrive's own taps get is nobody's work and nobody's dead letters; the page Traces tells of them.
fn leave_out_taps(sample: &mut RabbitMqSample) {
    let taps: HashSet<QueueKey> = sample
        .queues
        .extract_if(.., |queue| queue.is_of_a_tap())
        .map(|queue| (queue.vhost, queue.queue))
        .collect();
    sample
        .bindings
        .retain(|binding| match &binding.destination {
            BindingDestination::Queue(queue) => {
                !taps.contains(&(binding.vhost.clone(), queue.clone()))
            }
            BindingDestination::Exchange(_) => true,
        });
}

fn facts(sample: &RabbitMqSample) -> Vec<(String, String)> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = vec![
        fact("version", sample.version.clone()),
        fact("counts from", sample.counts_from.clone()),
        fact("queues", sample.queues.len().to_string()),
    ];
    let hidden = sample.hidden_vhosts.clone();
    facts.extend(hidden.map(|hidden| fact("virtual hosts not seen", hidden)));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::QueueConfig;

    #[test]
    fn configuration_and_pages_say_what_the_topology_cannot_show() {
        let queue = |name: &str, role, custody| QueueConfig {
            vhost: "/".into(),
            name: name.into(),
            role,
            custody,
            observe_every: None,
        };
        let config = RabbitMqConfig {
            queues: vec![
                queue("managed", None, Some(QueueCustody::Managed)),
                queue("observed", None, Some(QueueCustody::Observe)),
                queue("parked", Some(QueueRole::Parking), None),
                queue("mentioned", None, None),
            ],
            ..RabbitMqConfig::default()
        };
        let on_page = |cluster: &str, queue: &str| QueuePlace {
            cluster: cluster.into(),
            vhost: "/".into(),
            queue: queue.into(),
        };
        let own = config.name.as_str();
        let managed = BTreeSet::from([
            on_page(own, "on its page"),
            on_page(own, "parked"),
            on_page("another cluster", "mentioned"),
        ]);
        let overrides = overrides(&config, &managed);
        let role = |name: &str| overrides.roles.get(&("/".into(), name.into())).copied();
        assert_eq!(role("managed"), Some(QueueRole::Dlq));
        assert_eq!(role("observed"), Some(QueueRole::Dlq));
        assert_eq!(role("parked"), Some(QueueRole::Parking));
        assert_eq!(role("mentioned"), None);
        assert_eq!(role("on its page"), Some(QueueRole::Dlq));
        let is_own = |name: &str| overrides.own_consumers[&("/".into(), name.into())] == 1;
        assert!(["managed", "on its page", "parked"].into_iter().all(is_own));
        assert_eq!(overrides.own_consumers.len(), 3);
    }
}
