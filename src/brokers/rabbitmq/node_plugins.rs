//! The prometheus plugins of all nodes of a cluster, asked at once.
//!
//! A node's plugin names the queues that this node leads and no other, and counts the dead letters of this
//! node. So a queue has the numbers of the page that names it; if two do, as while its leader moves, neither is
//! believed. Every page names its node (`rabbitmq_identity_info`), whatever its URL is called.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures_util::future::join_all;

use super::plugin::{PluginPages, PrometheusPlugin, QueueCounts};
use super::{PROMETHEUS_KEY, RabbitMqError, listed};
use crate::config::Secret;
use crate::domain::{DeadLetteredCounter, QueueKey};

pub(super) struct NodePlugins(Vec<PrometheusPlugin>);

/// What the plugins of a cluster say together.
#[derive(Debug, Default)]
pub(super) struct ClusterPages {
    /// The nodes whose plugin answered.
    pub(super) nodes: BTreeSet<String>,
    /// `None` for a queue that two nodes claim.
    counts: HashMap<QueueKey, Option<QueueCounts>>,
    pub(super) dead_lettered: BTreeMap<String, Vec<DeadLetteredCounter>>,
    pub(super) problems: Vec<String>,
}

impl NodePlugins {
    pub(super) fn new(urls: &[Secret], timeout: Duration) -> Result<Self, RabbitMqError> {
        let plugins = urls.iter().map(|url| PrometheusPlugin::new(url, timeout));
        plugins.collect::<Result<_, _>>().map(Self)
    }

    pub(super) const fn is_configured(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) async fn ask(&self) -> ClusterPages {
        let answers = join_all(self.0.iter().map(PrometheusPlugin::pages)).await;
        let mut pages = ClusterPages::default();
        for (plugin, answer) in self.0.iter().zip(answers) {
            match answer {
                Ok(answer) => pages.add(plugin.address(), answer),
                Err(error) => pages.problems.push(error.to_string()),
            }
        }
        pages
    }

    pub(super) fn take_requests(&self) -> BTreeMap<&'static str, u64> {
        let mut requests = BTreeMap::new();
        for (name, count) in self.0.iter().flat_map(PrometheusPlugin::take_requests) {
            *requests.entry(name).or_default() += count;
        }
        requests
    }
}

impl ClusterPages {
    /// `address` names the page in messages, and stands for its node if it names none.
    fn add(&mut self, address: &str, pages: PluginPages) {
        let or_address = |node: Option<String>| node.unwrap_or_else(|| address.to_owned());
        let node = or_address(pages.node);
        if !self.nodes.insert(node.clone()) {
            self.problems.push(format!(
                "{address} leads to the node {node}, to which another URL leads already; {PROMETHEUS_KEY} needs one \
                 URL for each node"
            ));
            return;
        }
        for (queue, counts) in pages.counts {
            self.counts
                .entry(queue)
                .and_modify(|counts| *counts = None)
                .or_insert(Some(counts));
        }
        let counting_node = or_address(pages.counting_node);
        self.dead_lettered
            .insert(counting_node, pages.dead_lettered);
    }

    /// The numbers of a queue; `None` if no node leads it for certain.
    pub(super) fn counts(&self, queue: &QueueKey) -> Option<&QueueCounts> {
        self.counts.get(queue)?.as_ref()
    }

    /// Whether these queues are all that the pages name.
    pub(super) fn name_all_of(&self, mut queues: impl ExactSizeIterator<Item = QueueKey>) -> bool {
        queues.len() == self.counts.len() && queues.all(|queue| self.counts.contains_key(&queue))
    }

    /// Tells of nodes that run and whose plugin did not answer, by whatever name.
    pub(super) fn uncovered(&self, running: &BTreeSet<String>) -> Option<String> {
        let missing: Vec<&str> = running
            .difference(&self.nodes)
            .map(String::as_str)
            .collect();
        (!missing.is_empty()).then(|| {
            format!(
                "no prometheus plugin told of the running node {}: the depths of its queues come from the management \
                 API, and its discarded messages are not counted; {PROMETHEUS_KEY} needs a URL for each node",
                listed(&missing)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(messages: u64) -> QueueCounts {
        QueueCounts {
            messages: Some(messages),
            ..QueueCounts::default()
        }
    }

    fn page(node: Option<&str>, queues: &[(&str, u64)]) -> PluginPages {
        let queues = queues.iter();
        PluginPages {
            node: node.map(str::to_owned),
            counts: queues
                .map(|(queue, messages)| (("/".into(), (*queue).into()), counts(*messages)))
                .collect(),
            counting_node: node.map(str::to_owned),
            dead_lettered: Vec::new(),
        }
    }

    fn messages(pages: &ClusterPages, queue: &str) -> Option<u64> {
        pages.counts(&("/".into(), queue.into()))?.messages
    }

    #[test]
    fn a_queue_has_the_numbers_of_the_one_node_that_leads_it() {
        let mut pages = ClusterPages::default();
        pages.add(
            "a:15692",
            page(Some("rabbit@a"), &[("orders", 3), ("moving", 5)]),
        );
        pages.add(
            "b:15692",
            page(Some("rabbit@b"), &[("refunds", 4), ("moving", 6)]),
        );
        assert_eq!(messages(&pages, "orders"), Some(3));
        assert_eq!(messages(&pages, "refunds"), Some(4));
        assert_eq!(messages(&pages, "moving"), None);
        assert_eq!(messages(&pages, "absent"), None);
        assert_eq!(pages.problems, Vec::<String>::new());
    }

    #[test]
    fn a_node_counts_once_whatever_leads_to_it() {
        let mut pages = ClusterPages::default();
        pages.add("a:15692", page(Some("rabbit@a"), &[("orders", 3)]));
        pages.add("alias:15692", page(Some("rabbit@a"), &[("orders", 3)]));
        assert_eq!(messages(&pages, "orders"), Some(3));
        assert_eq!(pages.dead_lettered.len(), 1);
        assert!(
            pages.problems[0].contains("alias:15692"),
            "{:?}",
            pages.problems
        );
    }

    #[test]
    fn a_queue_too_few_or_too_many_is_seen() {
        let mut pages = ClusterPages::default();
        pages.add("a:15692", page(Some("rabbit@a"), &[("orders", 3)]));
        pages.add("b:15692", page(Some("rabbit@b"), &[("refunds", 4)]));
        let all_of = |names: &[&str]| {
            let keys = names.iter().map(|name| ("/".into(), (*name).into()));
            pages.name_all_of(keys)
        };
        assert!(all_of(&["refunds", "orders"]));
        assert!(!all_of(&["orders"]));
        assert!(!all_of(&["orders", "mails"]));
        assert!(!all_of(&["orders", "refunds", "mails"]));
    }

    #[test]
    fn nodes_that_no_plugin_told_of_are_named() {
        let mut pages = ClusterPages::default();
        pages.add("a:15692", page(Some("rabbit@a"), &[]));
        let running = |nodes: &[&str]| nodes.iter().map(|node| (*node).to_owned()).collect();
        assert_eq!(pages.uncovered(&running(&["rabbit@a"])), None);
        assert_eq!(pages.uncovered(&BTreeSet::new()), None);
        let told = pages.uncovered(&running(&["rabbit@a", "rabbit@b", "rabbit@c"]));
        let told = told.unwrap();
        assert!(told.contains("rabbit@b, rabbit@c"), "{told}");
        assert!(!told.contains("rabbit@a"), "{told}");
    }
}
