//! The same numbers once more under the names and labels of other exporters, for dashboards that exist.
//!
//! Off unless `metrics.aliases` names them. docs/metrics.md says where the names were read, and which of them
//! are left out. The numbers are Redrive's: a partition without a commit has no lag where `kafka_exporter` says -1.
//! One more exporter is a file here and a variant of [`Alias`].

mod kafka_exporter;
mod kafka_lag_exporter;
mod rabbitmq;

use super::detail::GroupDetail;
use super::text::{Family, SeriesBudget};
use crate::config::Alias;
use crate::domain::{ClusterDetail, ClusterSnapshot};
use kafka_exporter::KafkaExporterFamilies;
use kafka_lag_exporter::KafkaLagExporterFamilies;
use rabbitmq::RabbitMqPluginFamilies;

/// The families of these exporters, in the same order for every cluster; without series where the cluster is of
/// another kind or has no fresh numbers.
pub(super) fn families(
    aliases: &[Alias],
    cluster: &ClusterSnapshot,
    fresh: Option<&ClusterDetail>,
    detail: &GroupDetail,
    budget: &mut SeriesBudget,
) -> Vec<Family> {
    let mut families = Vec::new();
    let (kafka, rabbitmq) = match fresh {
        Some(ClusterDetail::Kafka(kafka)) => (Some(kafka), None),
        Some(ClusterDetail::RabbitMq(rabbitmq)) => (None, Some(rabbitmq)),
        None => (None, None),
    };
    let name = &cluster.name;
    for alias in aliases {
        families.extend(match alias {
            Alias::RabbitMq => {
                let mut plugin = RabbitMqPluginFamilies::new();
                if let Some(rabbitmq) = rabbitmq {
                    plugin.observe(name, rabbitmq, budget);
                }
                plugin.into_families()
            }
            Alias::KafkaExporter => {
                let mut exporter = KafkaExporterFamilies::new();
                if let Some(kafka) = kafka {
                    exporter.observe(name, kafka, detail, budget);
                }
                exporter.into_families()
            }
            Alias::KafkaLagExporter => {
                let mut exporter = KafkaLagExporterFamilies::new();
                if let Some(kafka) = kafka {
                    exporter.observe(name, kafka, detail, budget);
                }
                exporter.into_families()
            }
        });
    }
    families
}

#[cfg(test)]
mod tests;
