//! The connections to the brokers of one cluster.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use kafka_protocol::messages::{ApiKey, MetadataRequest};

use super::access::Access;
use super::answers::{self, BrokerAddress, Metadata};
use super::connection::Connection;
use super::error::WireError;
use super::versions;
use crate::config::KafkaConfig;

/// Brokers that are asked at once.
const BROKERS_AT_ONCE: usize = 16;

/// Open connections that are tried for the metadata before the bootstrap servers are.
const CONNECTIONS_TRIED: usize = 2;

/// Keeps one connection to each broker, of which each has one request in flight at most.
#[derive(Debug)]
pub(super) struct Cluster {
    config: KafkaConfig,
    request_timeout: Duration,
    access: Access,
    /// Files are read before the first connection, and again after one failed.
    is_access_stale: bool,
    connections: HashMap<String, Connection>,
    /// Requests on connections that broke meanwhile.
    lost_requests: Vec<&'static str>,
}

impl Cluster {
    pub(super) fn new(config: &KafkaConfig, request_timeout: Duration) -> Self {
        Self {
            config: config.clone(),
            request_timeout,
            access: Access::default(),
            is_access_stale: true,
            connections: HashMap::new(),
            lost_requests: Vec::new(),
        }
    }

    /// Asks the brokers that are connected already, then the bootstrap servers.
    pub(super) async fn metadata(&mut self) -> Result<Metadata, WireError> {
        let request = MetadataRequest::default()
            .with_topics(None)
            .with_allow_auto_topic_creation(false);
        self.any(move |connection| Box::pin(read_metadata(connection, request.clone())))
            .await
    }

    /// Runs one exchange on whichever broker answers first: one that is connected, or a bootstrap server.
    pub(super) async fn any<T>(
        &mut self,
        exchange: impl for<'c> Fn(&'c mut Connection) -> BoxFuture<'c, Result<T, WireError>>,
    ) -> Result<T, WireError> {
        if self.is_access_stale {
            self.access = Access::load(&self.config).await?;
            self.is_access_stale = false;
        }
        let connected = self.connections.keys().take(CONNECTIONS_TRIED).cloned();
        let servers: Vec<String> = connected
            .chain(self.config.bootstrap_servers.clone())
            .collect();
        let mut last_error = None;
        for server in servers {
            match self.on(server, &exchange).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last_error = Some(error),
            }
        }
        let source = last_error.unwrap_or_else(|| WireError::Encode("no server".to_owned()));
        let servers = self.config.bootstrap_servers.join(", ");
        Err(WireError::NoBroker {
            servers,
            source: Box::new(source),
        })
    }

    /// Runs one exchange on the connection to a broker; a connection that failed is dropped, one on which the
    /// broker refused something is not.
    async fn on<T>(
        &mut self,
        broker: String,
        exchange: impl for<'c> Fn(&'c mut Connection) -> BoxFuture<'c, Result<T, WireError>>,
    ) -> Result<T, WireError> {
        let known = self.take_usable(&broker);
        let opening = (&self.access, self.request_timeout);
        let mut connection = match opened(known, &broker, opening).await {
            Ok(connection) => connection,
            Err(error) => {
                self.is_access_stale = true;
                return Err(error);
            }
        };
        let result = exchange(&mut connection).await;
        self.keep(broker, connection, is_in_step(&result));
        result
    }

    /// The open connection to a broker. What was asked on one whose session ends is counted all the same.
    fn take_usable(&mut self, broker: &str) -> Option<Connection> {
        let mut known = self.connections.remove(broker)?;
        if known.is_usable() {
            return Some(known);
        }
        self.lost_requests.extend(known.take_requests());
        None
    }

    fn keep(&mut self, broker: String, mut connection: Connection, is_in_step: bool) {
        if is_in_step {
            self.connections.insert(broker, connection);
        } else {
            self.is_access_stale = true;
            self.lost_requests.extend(connection.take_requests());
        }
    }

    /// Closes the connections to brokers that are neither in the cluster nor bootstrap servers.
    pub(super) fn keep_only(&mut self, brokers: &[BrokerAddress]) {
        let addresses: Vec<String> = brokers.iter().map(address).collect();
        self.connections.retain(|broker, connection| {
            let is_known =
                addresses.contains(broker) || self.config.bootstrap_servers.contains(broker);
            if !is_known {
                self.lost_requests.extend(connection.take_requests());
            }
            is_known
        });
    }

    /// Runs an exchange on all brokers, on some of them at once.
    pub(super) async fn on_all<W, T>(
        &mut self,
        work: Vec<(String, W)>,
        exchange: impl for<'c> Fn(&'c mut Connection, &'c W) -> BoxFuture<'c, Result<T, WireError>>,
    ) -> Vec<Result<T, WireError>> {
        let exchange = &exchange;
        let access = self.access.clone();
        let opening = (&access, self.request_timeout);
        let tasks: Vec<_> = work
            .into_iter()
            .map(|(broker, work)| {
                let known = self.take_usable(&broker);
                async move {
                    match opened(known, &broker, opening).await {
                        Err(error) => (broker, Err(error)),
                        Ok(mut connection) => {
                            let result = exchange(&mut connection, &work).await;
                            (broker, Ok((connection, result)))
                        }
                    }
                }
            })
            .collect();
        let mut results = Vec::with_capacity(tasks.len());
        let mut done = futures_util::stream::iter(tasks).buffer_unordered(BROKERS_AT_ONCE);
        while let Some((broker, done)) = done.next().await {
            let result = match done {
                Ok((connection, result)) => {
                    self.keep(broker, connection, is_in_step(&result));
                    result
                }
                Err(error) => {
                    self.is_access_stale = true;
                    Err(error)
                }
            };
            results.push(result);
        }
        results
    }

    /// Requests since the last call: their number, and by name.
    pub(super) fn take_requests(&mut self) -> (u64, Vec<(String, u64)>) {
        let open = self
            .connections
            .values_mut()
            .flat_map(Connection::take_requests);
        let mut by_api: BTreeMap<&str, u64> = BTreeMap::new();
        for api in open.chain(std::mem::take(&mut self.lost_requests)) {
            *by_api.entry(api).or_default() += 1;
        }
        let total = by_api.values().sum();
        (
            total,
            by_api
                .into_iter()
                .map(|(api, count)| (api.to_owned(), count))
                .collect(),
        )
    }
}

/// Whether the next answer on the connection belongs to the next request.
const fn is_in_step<T>(result: &Result<T, WireError>) -> bool {
    matches!(result, Ok(_) | Err(WireError::Refused { .. }))
}

/// The connection if there is one, else a new one.
async fn opened(
    known: Option<Connection>,
    broker: &str,
    (access, timeout): (&Access, Duration),
) -> Result<Connection, WireError> {
    match known {
        Some(connection) => Ok(connection),
        None => Connection::open(broker, access, timeout).await,
    }
}

pub(super) async fn read_metadata(
    connection: &mut Connection,
    request: MetadataRequest,
) -> Result<Metadata, WireError> {
    let api = "Metadata";
    let version = connection.required_version(ApiKey::Metadata, versions::METADATA, api)?;
    let body = connection
        .call(ApiKey::Metadata, version, api, &request)
        .await?;
    answers::metadata(&body, version).map_err(|source| connection.garbage(api, source))
}

pub(super) fn address(broker: &BrokerAddress) -> String {
    if broker.host.contains(':') {
        return format!("[{}]:{}", broker.host, broker.port);
    }
    format!("{}:{}", broker.host, broker.port)
}
