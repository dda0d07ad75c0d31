//! One look at a RabbitMQ cluster.
//!
//! The queues with their settings and totals come from the management API, which is slow with very many
//! queues; depths and consumers come from the prometheus plugin where it is configured, which is not.
//! Each listing is asked for at most a tenth of the time that it takes, and reused in between.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::RabbitMqError;
use super::management::{ManagementClient, Overview, Policies, Routing};
use super::plugin::{PrometheusPlugin, QueueCounts};
use crate::config::RabbitMqConfig;
use crate::domain::{
    DeadLetteredCounter, QueueKey, QueueSample, RabbitMqSample, SampleCost, Timestamp,
};

/// The broker works for a listing at most one part in so many of the time.
const REST_AFTER_LISTING: u32 = 9;

/// A refused or slow listing of an age beyond this is worth a word on the status page.
const STALE_AFTER: Duration = Duration::from_secs(30);

/// Samples one cluster. Keeps HTTP connections and the last listings; failures need no repair.
pub struct RabbitMqSampler {
    config: RabbitMqConfig,
    request_timeout: Duration,
    clients: Option<Clients>,
    queues: Paced<Vec<QueueSample>>,
    queues_listed_at: Timestamp,
    routing: Paced<(Policies, Routing)>,
}

struct Clients {
    management: ManagementClient,
    plugin: Option<PrometheusPlugin>,
}

impl RabbitMqSampler {
    pub fn new(config: &RabbitMqConfig, request_timeout: Duration) -> Self {
        Self {
            config: config.clone(),
            request_timeout,
            clients: None,
            queues: Paced::default(),
            queues_listed_at: Timestamp::default(),
            routing: Paced::default(),
        }
    }

    /// Takes one sample. Fails if the management API does not answer sensibly; without the plugin the
    /// sample names that as a problem and counts by the management API.
    pub async fn sample(&mut self) -> Result<RabbitMqSample, RabbitMqError> {
        let started = Instant::now();
        let clients = match self.clients.take() {
            Some(clients) => clients,
            None => Clients::new(&self.config, self.request_timeout)?,
        };
        let overview = self.refresh(&clients.management).await;
        let mut sample = self.assemble();
        if let (Ok(_), Some(plugin)) = (&overview, &clients.plugin) {
            match counts_of(plugin).await {
                Ok((counts, dead_lettered)) => {
                    apply_counts(&mut sample, &counts);
                    sample.dead_lettered = dead_lettered;
                }
                Err(error) => sample.problems.push(error.to_string()),
            }
        }
        sample.cost = clients.cost(started.elapsed());
        self.clients = Some(clients);
        let overview = overview?;
        overview.version.as_str().clone_into(&mut sample.version);
        sample
            .problems
            .extend(problems(&overview, &self.queues, Instant::now()));
        Ok(sample)
    }

    /// Asks for what is due.
    async fn refresh(&mut self, management: &ManagementClient) -> Result<Overview, RabbitMqError> {
        let overview = management.overview().await?;
        if self.routing.is_due(Instant::now()) {
            let asked = Instant::now();
            let policies = management.policies().await?;
            let routing = management.routing(&policies).await?;
            self.routing
                .keep((policies, routing), asked, Instant::now());
        }
        if self.queues.is_due(Instant::now()) {
            let asked = Instant::now();
            let (policies, _) = self.routing.value();
            let queues = management.queues(policies, &overview.version).await?;
            self.queues.keep(queues, asked, Instant::now());
            self.queues_listed_at = Timestamp::now();
        }
        Ok(overview)
    }

    fn assemble(&self) -> RabbitMqSample {
        let (_, routing) = self.routing.value();
        RabbitMqSample {
            taken_at: Timestamp::now(),
            counters_at: self.queues_listed_at,
            counts_from: "management API".to_owned(),
            queues: self.queues.value().clone(),
            exchanges: routing.exchanges.clone(),
            bindings: routing.bindings.clone(),
            ..RabbitMqSample::default()
        }
    }
}

impl Clients {
    fn new(config: &RabbitMqConfig, timeout: Duration) -> Result<Self, RabbitMqError> {
        let plugin = match &config.prometheus_url {
            Some(url) => Some(PrometheusPlugin::new(url, timeout)?),
            None => None,
        };
        Ok(Self {
            management: ManagementClient::new(&config.management_url, timeout)?,
            plugin,
        })
    }

    fn cost(&self, duration: Duration) -> SampleCost {
        let mut requests: BTreeMap<&str, u64> = self.management.take_requests();
        if let Some(plugin) = &self.plugin {
            requests.extend(plugin.take_requests());
        }
        SampleCost {
            requests: requests.values().sum(),
            requests_by_api: requests
                .into_iter()
                .map(|(api, count)| (api.to_owned(), count))
                .collect(),
            duration,
        }
    }
}

async fn counts_of(
    plugin: &PrometheusPlugin,
) -> Result<(HashMap<QueueKey, QueueCounts>, Vec<DeadLetteredCounter>), RabbitMqError> {
    Ok((plugin.queue_counts().await?, plugin.dead_lettered().await?))
}

/// The plugin's numbers are the younger ones; the queues of other nodes it does not know.
fn apply_counts(sample: &mut RabbitMqSample, counts: &HashMap<QueueKey, QueueCounts>) {
    let mut elsewhere = 0_usize;
    for queue in &mut sample.queues {
        let Some(counts) = counts.get(&(queue.vhost.clone(), queue.queue.clone())) else {
            elsewhere += 1;
            continue;
        };
        queue.messages = counts.messages.or(queue.messages);
        queue.ready = counts.ready.or(queue.ready);
        queue.unacked = counts.unacked.or(queue.unacked);
        queue.consumers = counts.consumers.or(queue.consumers);
    }
    sample.counts_from = match elsewhere {
        0 => "prometheus plugin".to_owned(),
        _ => format!("prometheus plugin, and the management API for {elsewhere} queues elsewhere"),
    };
}

fn problems(overview: &Overview, queues: &Paced<Vec<QueueSample>>, now: Instant) -> Vec<String> {
    let mut problems = Vec::new();
    if overview.statistics_are_off {
        problems.push(
            "the broker collects no statistics (management_agent.disable_metrics_collector), so \
             there are no rates; depths need rabbitmq.prometheus_url"
                .to_owned(),
        );
    }
    if overview.version.is_surely_before(3, 10) {
        problems.push(format!(
            "RabbitMQ {} is older than 3.10, which is the oldest that Redrive was tested with",
            overview.version.as_str()
        ));
    }
    if queues.age(now) > STALE_AFTER {
        problems.push(format!(
            "listing the queues takes the broker {:.0} s, so rates are up to {:.0} s old; set \
             rabbitmq.prometheus_url for fresh depths",
            queues.took.as_secs_f64(),
            queues.rest().as_secs_f64()
        ));
    }
    problems
}

/// A value that is asked for again only after a rest in proportion to what asking took.
#[derive(Default)]
struct Paced<T> {
    value: T,
    asked: Option<Instant>,
    took: Duration,
}

impl<T> Paced<T> {
    fn is_due(&self, now: Instant) -> bool {
        self.asked
            .is_none_or(|asked| now.saturating_duration_since(asked) >= self.rest())
    }

    fn keep(&mut self, value: T, asked: Instant, answered: Instant) {
        self.value = value;
        self.asked = Some(asked);
        self.took = answered.saturating_duration_since(asked);
    }

    const fn value(&self) -> &T {
        &self.value
    }

    fn rest(&self) -> Duration {
        self.took.saturating_mul(REST_AFTER_LISTING + 1)
    }

    fn age(&self, now: Instant) -> Duration {
        self.asked
            .map_or(Duration::ZERO, |asked| now.saturating_duration_since(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_listing_is_asked_for_less_often() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut paced = Paced::default();
        assert!(paced.is_due(start));
        paced.keep(1, start, after(100));
        assert!(!paced.is_due(after(999)));
        assert!(paced.is_due(after(1000)));
        assert_eq!(*paced.value(), 1);
    }
}
