//! An export of traces in this process, and what it is given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redrive::config::{Config, ExportProtocol, HumanDuration, Secret};
use redrive::domain::{
    EventIdentity, EventPlace, Offset, Partition, RecordPlace, TimeBasis, Timestamp, TracedEvent,
};
use redrive::metrics::{Format, Metrics};
use redrive::store::Store;
use redrive::traces::{ExportBoard, Exporter};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::eventually;
use super::otlp::{OtlpReceiver, SentSpan};

/// An export that runs beside what fills the store.
pub(crate) struct Export {
    pub(crate) board: ExportBoard,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Export {
    pub(crate) fn start(config: Config, store: &Store) -> Self {
        let (board, stop) = (ExportBoard::default(), CancellationToken::new());
        let metrics = Arc::new(Metrics::new(Duration::from_secs(1)));
        let exporter = Exporter::configured(&Arc::new(config), store, &metrics, &board, &stop);
        Self {
            board,
            metrics,
            stop,
            task: tokio::spawn(exporter.unwrap().run()),
        }
    }

    /// Once it has noted from where on it exports.
    pub(crate) async fn started(config: Config, store: &Store) -> Self {
        let export = Self::start(config, store);
        eventually("the export has begun", async || {
            store.export_position().await.unwrap()
        })
        .await;
        export
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    pub(crate) fn exposes(&self, line: &str) -> bool {
        let text = String::from_utf8(self.metrics.render(Format::Text).to_vec()).unwrap();
        text.contains(&format!("{line}\n"))
    }
}

pub(crate) fn to(address: &str, protocol: ExportProtocol) -> Config {
    let mut config = Config::parse("", []).unwrap();
    let export = &mut config.traces.export;
    export.endpoint = Some(Secret::new(address));
    export.protocol = protocol;
    export.headers = BTreeMap::from([("x-api-key".to_owned(), Secret::new("hush"))]);
    export.quiet = HumanDuration(Duration::from_millis(200));
    config
}

pub(crate) fn event(offset: i64, correlation: &str, id: &str, cause: &str) -> TracedEvent {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    TracedEvent {
        place: EventPlace::Record(RecordPlace {
            cluster: "kafka".into(),
            topic: "orders".into(),
            partition: Partition(0),
            offset: Offset(offset),
        }),
        at: Timestamp::now(),
        basis: TimeBasis::CreateTime,
        event: EventIdentity {
            event_id: given(id),
            event_type: None,
            correlation_id: Some(correlation.to_owned()),
            causation_id: given(cause),
            aggregate_id: None,
        },
        source: Some("shop".to_owned()),
        is_retry: false,
        replay: None,
        application: None,
    }
}

pub(crate) async fn put(store: &Store, events: &[TracedEvent]) {
    store.put_traced_events(events).await.unwrap();
}

pub(crate) async fn received(receiver: &OtlpReceiver, spans: usize) -> Vec<SentSpan> {
    eventually("the backend has the spans", async || {
        let found = receiver.spans();
        (found.len() >= spans).then_some(found)
    })
    .await
}
