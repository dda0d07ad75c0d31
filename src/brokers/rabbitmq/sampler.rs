//! One look at a RabbitMQ cluster.
//!
//! The queues with their settings and totals come from the management API, which is slow with very many
//! queues; depths and consumers come from the prometheus plugin where it is configured, which is not.
//! Each listing is reused in between: it is asked for so seldom that the broker works a small part of its time for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::access::Access;
use super::management::{ManagementClient, Overview, Policies, Routing};
use super::node_plugins::{ClusterPages, NodePlugins};
use super::{RabbitMqError, listed};
use crate::config::RabbitMqConfig;
use crate::domain::{QueueSample, RabbitMqSample, SampleCost, Timestamp};

/// The broker works for a listing at most one part in so many of the time.
const SHARE_OF_LISTING: u32 = 10;

/// As long as the plugins name the same queues as the last listing, only settings and rates are older for it.
const SHARE_OF_KNOWN_LISTING: u32 = 60;

/// A refused or slow listing of an age beyond this is worth a word on the status page.
const STALE_AFTER: Duration = Duration::from_secs(30);

/// Who asks, and which nodes belong to the cluster, is asked so often, so that a tag that was given soon counts.
const ASKED_EVERY: Duration = Duration::from_mins(1);

/// Samples one cluster. Keeps HTTP connections and the last listings; failures need no repair.
pub struct RabbitMqSampler {
    config: RabbitMqConfig,
    request_timeout: Duration,
    clients: Option<Clients>,
    queues: Paced<Vec<QueueSample>>,
    queues_listed_at: Timestamp,
    /// The plugins name the queues that were listed, and no others.
    queues_are_known: bool,
    routing: Paced<(Policies, Routing)>,
    access: Option<(Instant, Result<Access, RabbitMqError>)>,
    stopped: Option<StoppedNodes>,
}

/// The members of the cluster that do not run.
struct StoppedNodes {
    asked: Instant,
    /// The members that ran then.
    running: BTreeSet<String>,
    names: Result<Vec<String>, RabbitMqError>,
}

struct Clients {
    management: ManagementClient,
    plugins: NodePlugins,
}

impl RabbitMqSampler {
    pub fn new(config: &RabbitMqConfig, request_timeout: Duration) -> Self {
        Self {
            config: config.clone(),
            request_timeout,
            clients: None,
            queues: Paced::default(),
            queues_listed_at: Timestamp::default(),
            queues_are_known: false,
            routing: Paced::default(),
            access: None,
            stopped: None,
        }
    }

    /// Takes one sample. Fails if the management API does not answer sensibly; what a prometheus plugin does
    /// not tell is counted by the management API, and named as a problem.
    pub async fn sample(&mut self) -> Result<RabbitMqSample, RabbitMqError> {
        let started = Instant::now();
        let clients = match self.clients.take() {
            Some(clients) => clients,
            None => Clients::new(&self.config, self.request_timeout)?,
        };
        let overview = self.refresh(&clients.management).await;
        let mut sample = self.assemble();
        if let Ok(overview) = &overview
            && clients.plugins.is_configured()
        {
            let pages = clients.plugins.ask().await;
            sample.problems.extend(pages.uncovered(&overview.nodes));
            let queues = sample.queues.iter();
            let listed = queues.map(|queue| (queue.vhost.clone(), queue.queue.clone()));
            self.queues_are_known = pages.name_all_of(listed);
            apply_pages(&mut sample, pages);
        }
        sample.cost = clients.cost(started.elapsed());
        self.clients = Some(clients);
        let overview = overview?;
        overview.version.as_str().clone_into(&mut sample.version);
        let stopped = self.stopped.as_ref().and_then(StoppedNodes::problem);
        sample.problems.extend(stopped);
        sample
            .problems
            .extend(self.problems(&overview, Instant::now()));
        self.tell_what_is_hidden(&mut sample);
        Ok(sample)
    }

    /// Asks for what is due.
    async fn refresh(&mut self, management: &ManagementClient) -> Result<Overview, RabbitMqError> {
        let overview = management.overview().await?;
        if self.routing.is_due(self.share(), Instant::now()) {
            let asked = Instant::now();
            let policies = management.policies().await?;
            let routing = management.routing(&policies).await?;
            self.routing
                .keep((policies, routing), asked, Instant::now());
        }
        if self.queues.is_due(self.share(), Instant::now()) {
            let asked = Instant::now();
            let (policies, _) = self.routing.value();
            let queues = management.queues(policies, &overview.version).await?;
            self.queues.keep(queues, asked, Instant::now());
            self.queues_listed_at = Timestamp::now();
        }
        let is_due = |(asked, _): &(Instant, _)| asked.elapsed() >= ASKED_EVERY;
        if self.access.as_ref().is_none_or(is_due) {
            self.access = Some((Instant::now(), management.access().await));
        }
        let is_due = |stopped: &StoppedNodes| stopped.is_due(&overview.nodes);
        if self.stopped.as_ref().is_none_or(is_due) {
            self.stopped = Some(StoppedNodes::ask(management, &overview.nodes).await);
        }
        Ok(overview)
    }

    const fn share(&self) -> u32 {
        if self.queues_are_known {
            SHARE_OF_KNOWN_LISTING
        } else {
            SHARE_OF_LISTING
        }
    }

    fn problems(&self, overview: &Overview, now: Instant) -> Vec<String> {
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
        if self.queues.age(now) > STALE_AFTER {
            let remedy = if self.config.prometheus_url.is_empty() {
                "; set rabbitmq.prometheus_url for fresh depths"
            } else {
                ""
            };
            problems.push(format!(
                "listing the queues takes the broker {:.0} s, so rates are up to {:.0} s old{remedy}",
                self.queues.took.as_secs_f64(),
                self.queues.rest(self.share()).as_secs_f64()
            ));
        }
        problems
    }

    fn tell_what_is_hidden(&self, sample: &mut RabbitMqSample) {
        match &self.access {
            Some((_, Ok(access))) => {
                let blindness = access.blindness(&sample.exchanges);
                sample.problems.extend(blindness.problems);
                sample.hidden_vhosts = blindness.hidden;
            }
            Some((_, Err(error))) => sample.problems.push(error.to_string()),
            None => {}
        }
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

impl StoppedNodes {
    /// `running` is empty for a user who may not know.
    async fn ask(management: &ManagementClient, running: &BTreeSet<String>) -> Self {
        let asked = Instant::now();
        let names = if running.is_empty() {
            Ok(Vec::new())
        } else {
            management.stopped_nodes().await
        };
        Self {
            asked,
            running: running.clone(),
            names,
        }
    }

    /// Whether to ask again: after a while, and as soon as other nodes run.
    fn is_due(&self, running: &BTreeSet<String>) -> bool {
        self.running != *running || self.asked.elapsed() >= ASKED_EVERY
    }

    fn problem(&self) -> Option<String> {
        let names = match &self.names {
            Ok(names) if names.is_empty() => return None,
            Ok(names) => names.iter().map(String::as_str).collect::<Vec<_>>(),
            Err(error) => return Some(error.to_string()),
        };
        Some(format!(
            "not running: {}; queues that only such a node keeps have no numbers and cannot be read; start it, \
             or take it out of the cluster with `rabbitmqctl forget_cluster_node`",
            listed(&names)
        ))
    }
}

impl Clients {
    fn new(config: &RabbitMqConfig, timeout: Duration) -> Result<Self, RabbitMqError> {
        Ok(Self {
            management: ManagementClient::new(&config.management_url, timeout)?,
            plugins: NodePlugins::new(&config.prometheus_url, timeout)?,
        })
    }

    fn cost(&self, duration: Duration) -> SampleCost {
        let mut requests: BTreeMap<&str, u64> = self.management.take_requests();
        requests.extend(self.plugins.take_requests());
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

/// The plugins' numbers are the younger ones; the queues of nodes that did not tell keep the management API's.
fn apply_pages(sample: &mut RabbitMqSample, pages: ClusterPages) {
    if !pages.nodes.is_empty() {
        let (mut elsewhere, mut unknown) = (0_usize, 0_usize);
        for queue in &mut sample.queues {
            let Some(counts) = pages.counts(&(queue.vhost.clone(), queue.queue.clone())) else {
                match queue.messages {
                    Some(_) => elsewhere += 1,
                    None => unknown += 1,
                }
                continue;
            };
            queue.messages = counts.messages.or(queue.messages);
            queue.ready = counts.ready.or(queue.ready);
            queue.unacked = counts.unacked.or(queue.unacked);
            queue.consumers = counts.consumers.or(queue.consumers);
        }
        sample.counts_from = counts_from(pages.nodes.len(), elsewhere, unknown);
    }
    sample.dead_lettered = pages.dead_lettered;
    sample.problems.extend(pages.problems);
}

/// `unknown` queues have no numbers: they are new, or the nodes that lead them do not run.
fn counts_from(nodes: usize, elsewhere: usize, unknown: usize) -> String {
    let plugins = match nodes {
        1 => "prometheus plugin".to_owned(),
        _ => format!("prometheus plugins of {nodes} nodes"),
    };
    let elsewhere = (elsewhere > 0)
        .then(|| format!(", and the management API for {elsewhere} queues elsewhere"));
    let unknown = (unknown > 0).then(|| format!("; queues without numbers: {unknown}"));
    [Some(plugins), elsewhere, unknown]
        .into_iter()
        .flatten()
        .collect()
}

/// A value that is asked for again only after a rest in proportion to what asking took.
#[derive(Default)]
struct Paced<T> {
    value: T,
    asked: Option<Instant>,
    took: Duration,
}

impl<T> Paced<T> {
    /// Whether asking again takes at most one part in `share` of the time.
    fn is_due(&self, share: u32, now: Instant) -> bool {
        self.asked
            .is_none_or(|asked| now.saturating_duration_since(asked) >= self.rest(share))
    }

    fn keep(&mut self, value: T, asked: Instant, answered: Instant) {
        self.value = value;
        self.asked = Some(asked);
        self.took = answered.saturating_duration_since(asked);
    }

    const fn value(&self) -> &T {
        &self.value
    }

    const fn rest(&self, share: u32) -> Duration {
        self.took.saturating_mul(share)
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
    fn who_counts_is_said_and_how_many_queues_nobody_counts() {
        assert_eq!(counts_from(1, 0, 0), "prometheus plugin");
        assert_eq!(
            counts_from(2, 3, 0),
            "prometheus plugins of 2 nodes, and the management API for 3 queues elsewhere"
        );
        assert_eq!(
            counts_from(1, 0, 4),
            "prometheus plugin; queues without numbers: 4"
        );
    }

    #[test]
    fn a_slow_listing_is_asked_for_less_often() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut paced = Paced::default();
        assert!(paced.is_due(10, start));
        paced.keep(1, start, after(100));
        assert!(!paced.is_due(10, after(999)));
        assert!(paced.is_due(10, after(1000)));
        assert!(!paced.is_due(40, after(3999)));
        assert!(paced.is_due(40, after(4000)));
        assert_eq!(*paced.value(), 1);
    }
}
