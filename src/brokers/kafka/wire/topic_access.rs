//! Which topics the login of Redrive may read.

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::protocol::StrBytes;

use super::cluster::{Cluster, read_metadata};
use super::error::WireError;
use crate::config::KafkaConfig;
use crate::domain::TopicName;

/// The bit of `AclOperation.READ` among the operations that `Metadata` says are allowed.
const READ: i32 = 1 << 3;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Those of the topics of which no record may be read.
pub(in crate::brokers::kafka) async fn unreadable_topics(
    config: &KafkaConfig,
    topics: &BTreeSet<TopicName>,
) -> Result<BTreeSet<TopicName>, WireError> {
    let mut cluster = Cluster::new(config, TIMEOUT);
    let topic = |topic: &TopicName| {
        let name = StrBytes::from_string(topic.as_str().to_owned());
        MetadataRequestTopic::default().with_name(Some(name.into()))
    };
    let request = MetadataRequest::default()
        .with_topics(Some(topics.iter().map(topic).collect()))
        .with_allow_auto_topic_creation(false)
        .with_include_topic_authorized_operations(true);
    let metadata = cluster
        .any(move |connection| Box::pin(read_metadata(connection, request.clone())))
        .await?;
    let may_not_be_read = metadata.topics.into_iter().filter(|topic| {
        let mut allowed = topic.allowed_operations.into_iter();
        let is_refused = topic.error == ResponseError::TopicAuthorizationFailed.code();
        is_refused || allowed.any(|allowed| allowed & READ == 0)
    });
    Ok(may_not_be_read.map(|topic| topic.name.into()).collect())
}
