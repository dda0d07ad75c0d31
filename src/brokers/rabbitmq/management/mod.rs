//! The management plugin's HTTP API.

mod careful;
mod policies;
mod rows;
mod tap_routing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::de::DeserializeOwned;

use self::careful::most_careful;
pub(super) use self::policies::Policies;
pub use self::rows::read_as_every_list;
use self::rows::{BindingRow, ExchangeRow, NameRow, NodeRow, OverviewRow, QueueRow, WhoamiRow};
pub use self::tap_routing::{TapBinding, TapExchange, TapRouting};
use super::access::Access;
use super::effective::BrokerVersion;
use super::http::{HttpApi, Request, shortened};
use super::{MANAGEMENT_KEY, RabbitMqError};
use crate::config::Secret;
use crate::domain::{
    BindingSample, ExchangeName, ExchangeSample, MoreQueues, QueueName, QueueSample, VhostName,
    reachable_queues,
};

/// 1,000 queues with statistics are about 1 MB.
const MAX_LIST_BYTES: usize = 64 * 1024 * 1024;
const MAX_OBJECT_BYTES: usize = 1024 * 1024;

const QUEUE_COLUMNS: &str = "columns=vhost,name,type,durable,exclusive,auto_delete,arguments,policy,\
    effective_policy_definition,delivery_limit,messages,messages_ready,messages_unacknowledged,\
    message_bytes,consumers,message_stats.publish,message_stats.ack,message_stats.deliver_no_ack,\
    message_stats.get_no_ack,message_stats.redeliver,message_stats.deliver_get";
/// What the broker knows of a queue before it has statistics.
const IDENTITY: &str = "disable_stats=true&columns=vhost,name,policy";
const EXCHANGE_COLUMNS: &str = "columns=vhost,name,type,arguments,policy";

/// Asks the management API; every answer is bounded in time and size.
pub struct ManagementClient {
    http: HttpApi,
}

/// What the broker says about itself.
#[derive(Clone, Debug)]
pub struct Overview {
    pub version: BrokerVersion,
    /// The broker was told to collect no statistics: no counts and no rates by this API.
    pub statistics_are_off: bool,
    /// The nodes that run; empty if the user may not know.
    pub nodes: BTreeSet<String>,
}

/// One queue as it is now, read before it is touched.
#[derive(Clone, Debug)]
pub struct QueueDetails {
    pub sample: QueueSample,
    /// 4.3: `all`, `failed` or `returned` messages are held back for a while.
    pub delayed_retry: Option<String>,
    /// The broker named the effective policy and statistics itself; without it, settings are the most
    /// careful reading and counts are absent.
    pub has_statistics: bool,
}

/// Queues, exchanges and bindings of all virtual hosts that the user may read.
#[derive(Clone, Debug, Default)]
pub(super) struct Routing {
    pub(super) exchanges: Vec<ExchangeSample>,
    pub(super) bindings: Vec<BindingSample>,
}

impl ManagementClient {
    pub fn new(management_url: &Secret, timeout: Duration) -> Result<Self, RabbitMqError> {
        let http = HttpApi::new("management API", MANAGEMENT_KEY, management_url, timeout)?;
        Ok(Self { http })
    }

    pub async fn overview(&self) -> Result<Overview, RabbitMqError> {
        let row: OverviewRow = self
            .required("overview", &["overview"], None, MAX_OBJECT_BYTES)
            .await?;
        Ok(Overview {
            nodes: row.nodes(),
            statistics_are_off: row.disable_stats.is_true(),
            version: BrokerVersion::new(row.version),
        })
    }

    /// The members of the cluster that do not run. Only for a user with the tag `monitoring`.
    pub(super) async fn stopped_nodes(&self) -> Result<Vec<String>, RabbitMqError> {
        let query = Some("columns=name,running");
        let rows: Vec<NodeRow> = self
            .required("nodes", &["nodes"], query, MAX_LIST_BYTES)
            .await?;
        Ok(rows.into_iter().filter_map(NodeRow::into_stopped).collect())
    }

    /// Who asks, and the virtual hosts that this user is told of.
    pub(super) async fn access(&self) -> Result<Access, RabbitMqError> {
        let row: WhoamiRow = self
            .required("whoami", &["whoami"], None, MAX_OBJECT_BYTES)
            .await?;
        let (user, tags) = row.into_user();
        Ok(Access {
            user,
            tags,
            vhosts: self.vhosts().await?,
        })
    }

    /// The virtual hosts that the user may see.
    pub async fn vhosts(&self) -> Result<Vec<VhostName>, RabbitMqError> {
        let rows: Vec<NameRow> = self
            .required("vhosts", &["vhosts"], Some("columns=name"), MAX_LIST_BYTES)
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| VhostName::new(row.name))
            .collect())
    }

    /// One queue, or `None` if there is none of that name, as the most careful of two readings says: its
    /// statistics name the effective settings, but seconds late (a policy of this moment is not in them),
    /// and what is known without statistics names no counts. Fails if the queue is there and the node that leads
    /// it is not.
    pub async fn queue(
        &self,
        vhost: &VhostName,
        queue: &QueueName,
    ) -> Result<Option<QueueDetails>, RabbitMqError> {
        let segments = ["queues", vhost.as_str(), queue.as_str()];
        let with_statistics = self.queue_row(&segments, None).await?;
        let Some(mut now) = self
            .queue_row(&segments, Some("disable_stats=true"))
            .await?
        else {
            return match self.listed_queue(vhost, queue).await? {
                Some(_) => Err(RabbitMqError::QueueOutOfReach {
                    queue: shortened(queue.as_str()),
                }),
                None => Ok(None),
            };
        };
        let mut policies = Policies::default();
        // Since 4.3 the broker names the policies in effect at once.
        if !now.names_its_policies() {
            // Before, only the list names the policy, not the single object (3.10.8, 4.0.5).
            now.take_policy_of(self.listed_queue(vhost, queue).await?);
            policies = self.policies().await?;
        }
        let version = self.overview().await?.version;
        let delayed_retry = now.sources(&policies).delayed_retry();
        let sample = now.into_sample(&policies, &version);
        let Some(row) = with_statistics.filter(QueueRow::names_its_policies) else {
            return Ok(Some(QueueDetails {
                sample,
                delayed_retry,
                has_statistics: false,
            }));
        };
        // As the broker names them, whatever else applies by now.
        let policies = policies.of_operators_alone();
        Ok(Some(QueueDetails {
            delayed_retry: delayed_retry.or_else(|| row.sources(&policies).delayed_retry()),
            sample: most_careful(row.into_sample(&policies, &version), &sample),
            has_statistics: true,
        }))
    }

    /// The queue as the list of its virtual host names it, also while the node that leads it is away; asked by
    /// name, RabbitMQ then answers that there is none (seen on 3.10.8).
    async fn listed_queue(
        &self,
        vhost: &VhostName,
        queue: &QueueName,
    ) -> Result<Option<QueueRow>, RabbitMqError> {
        let in_vhost = ["queues", vhost.as_str()];
        let rows: Option<Vec<QueueRow>> = self
            .object("queues", &in_vhost, Some(IDENTITY), MAX_LIST_BYTES)
            .await?;
        let mut rows = rows.into_iter().flatten();
        Ok(rows.find(|row| row.is_named(queue)))
    }

    async fn queue_row(
        &self,
        segments: &[&str],
        query: Option<&str>,
    ) -> Result<Option<QueueRow>, RabbitMqError> {
        self.object("queue", segments, query, MAX_OBJECT_BYTES)
            .await
    }

    /// An exchange, or `None`. The default exchange has the empty name.
    pub async fn exchange(
        &self,
        vhost: &VhostName,
        exchange: &ExchangeName,
    ) -> Result<Option<ExchangeSample>, RabbitMqError> {
        let segments = ["exchanges", vhost.as_str(), api_name(exchange)];
        let row: Option<ExchangeRow> = self
            .object("exchange", &segments, None, MAX_OBJECT_BYTES)
            .await?;
        match row {
            Some(row) => Ok(Some(row.into_sample(&self.policies().await?))),
            None => Ok(None),
        }
    }

    /// The bindings whose source is this exchange; empty if there is no such exchange.
    pub async fn bindings_from(
        &self,
        vhost: &VhostName,
        exchange: &ExchangeName,
    ) -> Result<Vec<BindingSample>, RabbitMqError> {
        let segments = [
            "exchanges",
            vhost.as_str(),
            api_name(exchange),
            "bindings",
            "source",
        ];
        let rows: Option<Vec<BindingRow>> = self
            .object("bindings", &segments, None, MAX_LIST_BYTES)
            .await?;
        Ok(rows
            .unwrap_or_default()
            .into_iter()
            .map(BindingRow::into_sample)
            .collect())
    }

    /// The queues that a message published to `exchange` with `routing_key` reaches now, and whether it
    /// may reach others that depend on its headers. `None` if there is no such exchange.
    pub async fn reachable(
        &self,
        vhost: &VhostName,
        exchange: &ExchangeName,
        routing_key: &str,
    ) -> Result<Option<(Vec<QueueName>, MoreQueues)>, RabbitMqError> {
        let in_vhost = |list| [list, vhost.as_str()];
        let queues: Vec<QueueRow> = self
            .listing("queues", &in_vhost("queues"), Some("disable_stats=true"))
            .await?;
        let exchanges: Vec<ExchangeRow> = self
            .listing("exchanges", &in_vhost("exchanges"), Some(EXCHANGE_COLUMNS))
            .await?;
        let bindings: Vec<BindingRow> = self
            .listing("bindings", &in_vhost("bindings"), None)
            .await?;
        let policies = self.policies().await?;
        let version = BrokerVersion::default();
        // Who gets a copy for the traces does nothing with it.
        let queues: Vec<QueueSample> = queues
            .into_iter()
            .map(|row| row.into_sample(&policies, &version))
            .filter(|queue| !queue.is_of_a_tap())
            .collect();
        let exchanges: Vec<ExchangeSample> = exchanges
            .into_iter()
            .map(|row| row.into_sample(&policies))
            .collect();
        let bindings: Vec<BindingSample> =
            bindings.into_iter().map(BindingRow::into_sample).collect();
        Ok(reachable_queues(
            &queues,
            &exchanges,
            &bindings,
            vhost,
            exchange,
            routing_key,
        ))
    }

    /// Every queue that the user may read, with statistics where the broker has them.
    pub(super) async fn queues(
        &self,
        policies: &Policies,
        version: &BrokerVersion,
    ) -> Result<Vec<QueueSample>, RabbitMqError> {
        let mut rows: Vec<QueueRow> = self
            .listing("queues", &["queues"], Some(QUEUE_COLUMNS))
            .await?;
        if rows.iter().any(|row| !row.names_its_policies()) {
            let identities: Vec<QueueRow> =
                self.listing("queues", &["queues"], Some(IDENTITY)).await?;
            let mut by_name: BTreeMap<_, _> =
                identities.into_iter().map(|row| (row.key(), row)).collect();
            for row in rows.iter_mut().filter(|row| !row.names_its_policies()) {
                row.take_policy_of(by_name.remove(&row.key()));
            }
        }
        Ok(rows
            .into_iter()
            .map(|row| row.into_sample(policies, version))
            .collect())
    }

    pub(super) async fn routing(&self, policies: &Policies) -> Result<Routing, RabbitMqError> {
        let exchanges: Vec<ExchangeRow> = self
            .listing("exchanges", &["exchanges"], Some(EXCHANGE_COLUMNS))
            .await?;
        let bindings: Vec<BindingRow> = self.listing("bindings", &["bindings"], None).await?;
        Ok(Routing {
            exchanges: exchanges
                .into_iter()
                .map(|row| row.into_sample(policies))
                .collect(),
            bindings: bindings.into_iter().map(BindingRow::into_sample).collect(),
        })
    }

    pub(super) async fn policies(&self) -> Result<Policies, RabbitMqError> {
        let ordinary = self.listing("policies", &["policies"], None).await?;
        let of_the_operator = ["operator-policies"];
        let of_the_operator = self
            .listing("operator-policies", &of_the_operator, None)
            .await?;
        Ok(Policies::new(ordinary, of_the_operator))
    }

    pub(super) fn take_requests(&self) -> BTreeMap<&'static str, u64> {
        self.http.take_requests()
    }

    async fn listing<T: DeserializeOwned>(
        &self,
        name: &'static str,
        segments: &[&str],
        query: Option<&str>,
    ) -> Result<Vec<T>, RabbitMqError> {
        self.required(name, segments, query, MAX_LIST_BYTES).await
    }

    async fn required<T: DeserializeOwned>(
        &self,
        name: &'static str,
        segments: &[&str],
        query: Option<&str>,
        limit: usize,
    ) -> Result<T, RabbitMqError> {
        self.object(name, segments, query, limit)
            .await?
            .ok_or_else(|| self.http.nonsense(name, "there is no such resource"))
    }

    async fn object<T: DeserializeOwned>(
        &self,
        name: &'static str,
        segments: &[&str],
        query: Option<&str>,
        limit: usize,
    ) -> Result<Option<T>, RabbitMqError> {
        let mut path = vec!["api"];
        path.extend(segments);
        let request = Request {
            name,
            segments: &path,
            query,
            limit,
        };
        let Some(body) = self.http.get(request).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&body)
            .map(Some)
            .map_err(|error| self.http.nonsense(name, &error.to_string()))
    }
}

/// The default exchange has another name in URLs.
fn api_name(exchange: &ExchangeName) -> &str {
    match exchange.as_str() {
        "" => "amq.default",
        name => name,
    }
}
