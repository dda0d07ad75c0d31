//! What flowed of late: who published where, because of what, and what died.

use sqlx::FromRow;

use super::trace_search::NEWEST_EVENTS;
use super::{Store, StoreError};
use crate::domain::{
    CausedFlow, Channel, DeadFlow, ObservedFlows, PublishedFlow, System, Timestamp,
};

/// Rows of each kind that are told, those with the most events first.
const MOST_FLOWS: i64 = 500;

/// Dead letters that are counted.
const NEWEST_DEAD: i64 = 20_000;

impl Store {
    /// What flowed since a time, as far as the newest events tell.
    pub async fn observed_flows(&self, since: Timestamp) -> Result<ObservedFlows, StoreError> {
        // Of more events the newest are counted, and nothing was seen before the first: the time begins later.
        let oldest: Option<i64> = sqlx::query_scalar(
            "SELECT MIN(at_ms) FROM (SELECT at_ms FROM traced_events WHERE at_ms >= ? \
             ORDER BY at_ms DESC LIMIT ?)",
        )
        .bind(since.as_millis())
        .bind(NEWEST_EVENTS)
        .fetch_one(&self.reader)
        .await?;
        let begin = oldest.map_or(since, Timestamp);
        Ok(ObservedFlows {
            since: begin,
            published: self.published_flows(begin).await?,
            caused: self.caused_flows(begin).await?,
            dead: self.dead_flows(begin).await?,
        })
    }

    async fn published_flows(&self, since: Timestamp) -> Result<Vec<PublishedFlow>, StoreError> {
        let rows: Vec<ChannelRow> = sqlx::query_as(
            "SELECT source, cluster, topic, vhost, exchange, COUNT(*) AS events FROM traced_events \
             WHERE at_ms >= ? \
             GROUP BY source, cluster, topic, vhost, exchange ORDER BY events DESC LIMIT ?",
        )
        .bind(since.as_millis())
        .bind(MOST_FLOWS)
        .fetch_all(&self.reader)
        .await?;
        let flow = |row: ChannelRow| PublishedFlow {
            source: row.source.clone(),
            events: count(row.events),
            to: row.into_channel(),
        };
        Ok(rows.into_iter().map(flow).collect())
    }

    async fn caused_flows(&self, since: Timestamp) -> Result<Vec<CausedFlow>, StoreError> {
        let rows: Vec<ChannelRow> = sqlx::query_as(
            "SELECT effect.source, cause.cluster, cause.topic, cause.vhost, cause.exchange, \
             COUNT(*) AS events FROM traced_events effect JOIN traced_events cause ON cause.id = \
             (SELECT id FROM traced_events first WHERE first.event_id = effect.causation_id \
             AND first.correlation_id = effect.correlation_id ORDER BY first.id LIMIT 1) \
             WHERE effect.at_ms >= ? AND effect.source IS NOT NULL \
             AND effect.causation_id IS NOT NULL \
             GROUP BY effect.source, cause.cluster, cause.topic, cause.vhost, cause.exchange \
             ORDER BY events DESC LIMIT ?",
        )
        .bind(since.as_millis())
        .bind(MOST_FLOWS)
        .fetch_all(&self.reader)
        .await?;
        let flow = |row: ChannelRow| CausedFlow {
            source: row.source.clone().unwrap_or_default(),
            events: count(row.events),
            cause: row.into_channel(),
        };
        Ok(rows.into_iter().map(flow).collect())
    }

    async fn dead_flows(&self, since: Timestamp) -> Result<Vec<DeadFlow>, StoreError> {
        let rows: Vec<DeadRow> = sqlx::query_as(
            "SELECT system, cluster, vhost, source, consumer, dlq, COUNT(*) AS dead_letters FROM \
             (SELECT * FROM dead_letters ORDER BY id DESC LIMIT ?) WHERE dead_at_ms >= ? \
             GROUP BY system, cluster, vhost, source, consumer, dlq \
             ORDER BY dead_letters DESC LIMIT ?",
        )
        .bind(NEWEST_DEAD)
        .bind(since.as_millis())
        .bind(MOST_FLOWS)
        .fetch_all(&self.reader)
        .await?;
        let flow = |row: DeadRow| DeadFlow {
            system: if row.system == System::Kafka.as_str() {
                System::Kafka
            } else {
                System::RabbitMq
            },
            cluster: row.cluster.into(),
            vhost: row.vhost.into(),
            source: row.source,
            consumer: row.consumer,
            dlq: row.dlq,
            dead_letters: count(row.dead_letters),
        };
        Ok(rows.into_iter().map(flow).collect())
    }
}

fn count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

#[derive(Debug, FromRow)]
struct ChannelRow {
    source: Option<String>,
    cluster: String,
    topic: Option<String>,
    vhost: Option<String>,
    exchange: Option<String>,
    events: i64,
}

impl ChannelRow {
    fn into_channel(self) -> Channel {
        let cluster = self.cluster.into();
        match self.topic {
            Some(topic) => Channel::Topic {
                cluster,
                topic: topic.into(),
            },
            None => Channel::Exchange {
                cluster,
                vhost: self.vhost.unwrap_or_default().into(),
                exchange: self.exchange.unwrap_or_default().into(),
            },
        }
    }
}

#[derive(Debug, FromRow)]
struct DeadRow {
    system: String,
    cluster: String,
    vhost: String,
    source: Option<String>,
    consumer: Option<String>,
    dlq: String,
    dead_letters: i64,
}

#[cfg(test)]
mod tests {
    use super::super::traces::tests::{event, letter};
    use super::*;
    use crate::store::tests::{NOW, fixture};

    #[tokio::test]
    async fn what_flowed_is_counted_by_who_published_where_and_why() {
        let fixture = fixture().await;
        let store = &fixture.store;
        let published = |at, id: &str, cause: Option<&str>, source: &str| {
            let mut event = event(at, "trace", id);
            event.event.causation_id = cause.map(str::to_owned);
            event.source = Some(source.to_owned());
            event
        };
        let events = [
            published(1, "old", None, "shop"),
            published(10, "a", None, "shop"),
            published(11, "b", None, "shop"),
            published(12, "c", Some("a"), "billing"),
            published(13, "d", Some("unseen"), "billing"),
            event(14, "trace", "nobody's"),
        ];
        store.put_traced_events(&events).await.unwrap();
        let letters = [letter(0, "trace"), letter(1, "trace")];
        store
            .index_kafka_batch(&"c".into(), &letters, &[], &[], NOW)
            .await
            .unwrap();
        let flows = store.observed_flows(Timestamp(10)).await.unwrap();
        let orders = Channel::Topic {
            cluster: "c".into(),
            topic: "orders".into(),
        };
        let flow = |source: Option<&str>, events| PublishedFlow {
            source: source.map(str::to_owned),
            to: orders.clone(),
            events,
        };
        let mut published = flows.published;
        published.sort_by(|a, b| a.source.cmp(&b.source));
        let expected = [
            flow(None, 1),
            flow(Some("billing"), 2),
            flow(Some("shop"), 2),
        ];
        assert_eq!(published, expected);
        let caused = CausedFlow {
            cause: orders.clone(),
            source: "billing".to_owned(),
            events: 1,
        };
        assert_eq!(flows.caused, [caused]);
        let [dead] = flows.dead.as_slice() else {
            panic!("{:?}", flows.dead);
        };
        assert_eq!(dead.dead_letters, 2);
    }
}
