//! Settings of topics and brokers, defaults included.

use std::collections::HashMap;
use std::time::Duration;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{ApiKey, DescribeConfigsRequest};
use kafka_protocol::protocol::StrBytes;

use super::answers;
use super::cluster::{Cluster, address};
use super::connection::Connection;
use super::error::WireError;
use super::versions;
use crate::config::KafkaConfig;
use crate::domain::TopicName;

/// `ConfigResource.Type`
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The effective settings of a topic; those without a value, and secret ones, are left out.
pub(in crate::brokers::kafka) async fn topic_settings(
    config: &KafkaConfig,
    topic: &TopicName,
) -> Result<HashMap<String, String>, WireError> {
    let resource = resource(TOPIC, topic.as_str().to_owned(), None);
    let mut cluster = Cluster::new(config, TIMEOUT);
    cluster
        .any(move |connection| Box::pin(describe(connection, resource.clone())))
        .await
}

/// The values that one setting has on the brokers of the cluster. A broker knows its own alone.
pub(in crate::brokers::kafka) async fn broker_settings(
    config: &KafkaConfig,
    name: &'static str,
) -> Result<Vec<String>, WireError> {
    let mut cluster = Cluster::new(config, TIMEOUT);
    let brokers = cluster.metadata().await?.brokers;
    let work = brokers.iter().map(|broker| {
        let name = Some(StrBytes::from_static_str(name));
        (
            address(broker),
            resource(BROKER, broker.id.to_string(), name),
        )
    });
    let answers = cluster
        .on_all(
            work.collect(),
            |connection, resource: &DescribeConfigsResource| {
                Box::pin(describe(connection, resource.clone()))
            },
        )
        .await;
    let mut values = Vec::with_capacity(answers.len());
    for answer in answers {
        values.extend(answer?.remove(name));
    }
    Ok(values)
}

fn resource(kind: i8, name: String, only: Option<StrBytes>) -> DescribeConfigsResource {
    DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_string(name))
        // No names: all settings.
        .with_configuration_keys(only.map(|name| vec![name]))
}

async fn describe(
    connection: &mut Connection,
    resource: DescribeConfigsResource,
) -> Result<HashMap<String, String>, WireError> {
    let api = "DescribeConfigs";
    let key = ApiKey::DescribeConfigs;
    let version = connection.required_version(key, versions::DESCRIBE_CONFIGS, api)?;
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let body = connection.call(key, version, api, &request).await?;
    let results =
        answers::describe_configs(&body).map_err(|source| connection.garbage(api, source))?;
    let mut settings = HashMap::new();
    for result in results {
        if result.error != 0 {
            return Err(connection.refused(api, result.error));
        }
        settings.extend(result.settings);
    }
    Ok(settings)
}
