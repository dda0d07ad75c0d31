//! When the taps of the traces missed events, and what they know of redelivered ones.

use std::collections::HashSet;

use sqlx::{FromRow, QueryBuilder, Sqlite};

use super::{Store, StoreError};
use crate::domain::{ClusterName, GapReason, System, TapPlace, Timestamp, TraceGap};

/// Gaps of one place that lie closer together are one: a tap that falls behind again and again would otherwise
/// fill the pages.
const JOINED_WITHIN_MS: i64 = 60_000;

/// Fingerprints of one statement.
const FINGERPRINTS: usize = 500;

impl Store {
    /// Keeps a gap; one that goes on, or that almost touches another of the same place, is joined with it.
    pub async fn put_trace_gap(&self, gap: &TraceGap) -> Result<(), StoreError> {
        let (system, place) = columns(&gap.place);
        let (from, to) = (gap.from.as_millis(), gap.to.as_millis());
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let touching: Vec<(i64, i64)> = sqlx::query_as(
            "DELETE FROM trace_gaps \
             WHERE cluster = ?1 AND system = ?2 AND place = ?3 AND reason = ?6 \
             AND to_ms >= ?4 - ?7 AND from_ms <= ?5 + ?7 RETURNING from_ms, to_ms",
        )
        .bind(gap.cluster.as_str())
        .bind(system)
        .bind(place)
        .bind(from)
        .bind(to)
        .bind(gap.reason.as_str())
        .bind(JOINED_WITHIN_MS)
        .fetch_all(&mut *transaction)
        .await?;
        let starts = touching.iter().map(|(from, _)| *from);
        let ends = touching.iter().map(|(_, to)| *to);
        sqlx::query(
            "INSERT INTO trace_gaps (cluster, system, place, from_ms, to_ms, reason) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(gap.cluster.as_str())
        .bind(system)
        .bind(place)
        .bind(starts.fold(from, i64::min))
        .bind(ends.fold(to, i64::max))
        .bind(gap.reason.as_str())
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// The gaps that touch the time between the two, the last first, up to `most`.
    pub async fn trace_gaps(
        &self,
        (from, to): (Timestamp, Timestamp),
        most: u32,
    ) -> Result<Vec<TraceGap>, StoreError> {
        let rows: Vec<GapRow> = sqlx::query_as(
            "SELECT cluster, system, place, from_ms, to_ms, reason FROM trace_gaps \
             WHERE to_ms >= ? AND from_ms <= ? ORDER BY to_ms DESC, id DESC LIMIT ?",
        )
        .bind(from.as_millis())
        .bind(to.as_millis())
        .bind(most)
        .fetch_all(&self.reader)
        .await?;
        rows.into_iter().map(GapRow::into_gap).collect()
    }

    /// Removes the gaps that ended before `oldest`, as the events around them were.
    pub async fn prune_trace_gaps(&self, oldest: Timestamp) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM trace_gaps WHERE to_ms < ?")
            .bind(oldest.as_millis())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Until when a tap is known to have missed nothing, by what it noted last.
    pub async fn tap_whole_until(
        &self,
        cluster: &ClusterName,
        place: &TapPlace,
    ) -> Result<Option<Timestamp>, StoreError> {
        let (system, place) = columns(place);
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT whole_ms FROM trace_taps WHERE cluster = ? AND system = ? AND place = ?",
        )
        .bind(cluster.as_str())
        .bind(system)
        .bind(place)
        .fetch_optional(&self.reader)
        .await?;
        Ok(found.map(Timestamp))
    }

    /// Notes that a tap has missed nothing that was published before this time.
    pub async fn note_tap_whole_until(
        &self,
        cluster: &ClusterName,
        place: &TapPlace,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (system, place) = columns(place);
        sqlx::query(
            "INSERT OR REPLACE INTO trace_taps (cluster, system, place, whole_ms) \
             VALUES (?, ?, ?, ?)",
        )
        .bind(cluster.as_str())
        .bind(system)
        .bind(place)
        .bind(at.as_millis())
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Which of these fingerprints the stored events of a cluster have.
    pub async fn traced_fingerprints(
        &self,
        cluster: &ClusterName,
        fingerprints: &[&str],
    ) -> Result<HashSet<String>, StoreError> {
        let mut known = HashSet::new();
        for chunk in fingerprints.chunks(FINGERPRINTS) {
            let mut query = QueryBuilder::<Sqlite>::new(
                "SELECT DISTINCT fingerprint FROM traced_events WHERE fingerprint IN (",
            );
            let mut list = query.separated(", ");
            for fingerprint in chunk {
                list.push_bind(*fingerprint);
            }
            query.push(") AND cluster = ").push_bind(cluster.as_str());
            let found: Vec<String> = query.build_query_scalar().fetch_all(&self.reader).await?;
            known.extend(found);
        }
        Ok(known)
    }
}

fn columns(place: &TapPlace) -> (&'static str, &str) {
    match place {
        TapPlace::Topics => (System::Kafka.as_str(), "*"),
        TapPlace::Topic(topic) => (System::Kafka.as_str(), topic.as_str()),
        TapPlace::Vhost(vhost) => (System::RabbitMq.as_str(), vhost.as_str()),
    }
}

#[derive(Debug, FromRow)]
struct GapRow {
    cluster: String,
    system: String,
    place: String,
    from_ms: i64,
    to_ms: i64,
    reason: String,
}

impl GapRow {
    fn into_gap(self) -> Result<TraceGap, StoreError> {
        let reason: Result<GapReason, _> = serde_json::from_value(self.reason.into());
        Ok(TraceGap {
            cluster: self.cluster.into(),
            place: match self.system.parse() {
                Ok(System::RabbitMq) => TapPlace::Vhost(self.place.into()),
                _ => TapPlace::Topic(self.place.into()),
            },
            from: Timestamp(self.from_ms),
            to: Timestamp(self.to_ms),
            reason: reason.map_err(StoreError::corrupt("reason"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::fixture;

    fn gap(place: TapPlace, from: i64, to: i64) -> TraceGap {
        TraceGap {
            cluster: "c".into(),
            place,
            from: Timestamp(from),
            to: Timestamp(to),
            reason: GapReason::FellBehind,
        }
    }

    #[tokio::test]
    async fn gaps_of_one_place_that_almost_touch_are_one() {
        let fixture = fixture().await;
        let store = &fixture.store;
        let vhost = || TapPlace::Vhost("/".into());
        let topic = || TapPlace::Topic("/".into());
        for gap in [
            gap(vhost(), 1_000, 2_000),
            gap(vhost(), 1_000, 9_000),
            gap(vhost(), 69_000, 70_000),
            gap(vhost(), 130_001, 130_002),
            gap(topic(), 9_000, 10_000),
        ] {
            store.put_trace_gap(&gap).await.unwrap();
        }
        let whole = (Timestamp(0), Timestamp(i64::MAX));
        let all = store.trace_gaps(whole, 10).await.unwrap();
        let expected = [
            gap(vhost(), 130_001, 130_002),
            gap(vhost(), 1_000, 70_000),
            gap(topic(), 9_000, 10_000),
        ];
        assert_eq!(all, expected);
        let last = store.trace_gaps(whole, 1).await.unwrap();
        assert_eq!(last, expected[..1]);
        let check = async |from, to, count| {
            let found = store.trace_gaps((Timestamp(from), Timestamp(to)), 10).await;
            assert_eq!(found.unwrap().len(), count, "{from} to {to}");
        };
        check(0, 999, 0).await;
        check(0, 1_000, 1).await;
        check(10_000, 10_000, 2).await;
        check(70_000, 130_000, 1).await;
        check(130_003, i64::MAX, 0).await;
        store.prune_trace_gaps(Timestamp(70_001)).await.unwrap();
        let left = store.trace_gaps(whole, 10).await.unwrap();
        assert_eq!(left, expected[..1]);
        // One that lies between two joins them.
        for gap in [
            gap(vhost(), 300_000, 300_001),
            gap(vhost(), 200_000, 240_000),
        ] {
            store.put_trace_gap(&gap).await.unwrap();
        }
        store
            .put_trace_gap(&gap(vhost(), 180_000, 181_000))
            .await
            .unwrap();
        let left = store.trace_gaps(whole, 10).await.unwrap();
        assert_eq!(left, [gap(vhost(), 130_001, 300_001)]);
    }

    #[tokio::test]
    async fn each_tap_notes_its_own_time() {
        let fixture = fixture().await;
        let store = &fixture.store;
        let (cluster, other) = ("c".into(), "d".into());
        let place = TapPlace::Vhost("/".into());
        for at in [1, 2] {
            let noted = store.note_tap_whole_until(&cluster, &place, Timestamp(at));
            noted.await.unwrap();
        }
        let known = async |cluster, place| store.tap_whole_until(cluster, place).await.unwrap();
        assert_eq!(known(&cluster, &place).await, Some(Timestamp(2)));
        assert_eq!(known(&other, &place).await, None);
        let topic = TapPlace::Topic("/".into());
        assert_eq!(known(&cluster, &topic).await, None);
    }
}
