//! A dashboard over a real store in a folder of its own and a snapshot made by hand.

use std::sync::Arc;
use std::time::Duration;

use redrive::alerts::{self, AlertBoard};
use redrive::config::{Config, QueueConfig, QueueCustody};
use redrive::dead_letters::{
    BulkActions, IntakeBoard, IntakeContext, Looks, ManagedQueues, Observer, Repairs,
};
use redrive::domain::*;
use redrive::metrics::Metrics;
use redrive::replay::{self, ReplayTask};
use redrive::sampling::{self, SamplingHandle};
use redrive::sandbox::Sandbox;
use redrive::schemas::Schemas;
use redrive::traces::{ExportBoard, TapBoard};
use redrive::web::{self, AppState};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::eventually;
use super::past::live_through;
use super::replays::{StoreInFolder, new_store};
use super::snapshots::busy_snapshot;
use super::stored_letters::fill;

/// A served dashboard; it stops when it is dropped.
pub(crate) struct Dashboard {
    pub(crate) address: String,
    pub(crate) state: AppState,
    _folder: TempDir,
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.state.stop.cancel();
    }
}

impl Dashboard {
    /// Serves what `fill` puts into an empty store.
    pub(crate) async fn serve(snapshot: Snapshot, config: Config) -> Self {
        let metrics = Arc::new(Metrics::new(Duration::from_secs(10)));
        metrics.observe_snapshot(&snapshot);
        let sampling = SamplingHandle::still(snapshot);
        let stop = CancellationToken::new();
        // The tasks that would send are left out: a replay stays planned.
        let sampled = (sampling, metrics);
        Self::start(config, new_store().await, sampled, (stop, drop)).await
    }

    /// Serves a store over real brokers, which are sampled and to which replays are sent.
    pub(crate) async fn live(config: Config, fixture: StoreInFolder) -> Self {
        let stop = CancellationToken::new();
        let metrics = Arc::new(Metrics::new(Duration::from_secs(1)));
        let sampling = sampling::start(&config, Arc::clone(&metrics), &stop, |task| {
            tokio::spawn(task);
        });
        let send = |task| {
            tokio::spawn(task);
        };
        let sampled = (sampling, metrics);
        let dashboard = Self::start(config, fixture, sampled, (stop, send)).await;
        eventually("every broker was sampled", async || {
            let snapshot = dashboard.state.sampling.snapshot();
            let mut clusters = snapshot.clusters.iter();
            clusters
                .all(|cluster| cluster.detail.is_some())
                .then_some(())
        })
        .await;
        dashboard
    }

    async fn start(
        config: Config,
        fixture: StoreInFolder,
        (sampling, metrics): (SamplingHandle, Arc<Metrics>),
        (stop, send): (CancellationToken, impl FnMut(ReplayTask)),
    ) -> Self {
        let StoreInFolder { store, folder } = fixture;
        let config = Arc::new(config);
        let snapshots = sampling.subscribe();
        let schemas = Schemas::load(&config.schemas, &sandbox()).await.unwrap();
        let gate = Some(schemas.clone());
        let replay =
            replay::start(&config, &store, &metrics, snapshots, &stop, gate, send).unwrap();
        let intake = IntakeContext {
            config: Arc::clone(&config),
            store: store.clone(),
            metrics: Arc::clone(&metrics),
            snapshots: sampling.subscribe(),
            board: IntakeBoard::default(),
            managed: ManagedQueues::default(),
            looks: Looks::default(),
            stop: stop.clone(),
        };
        let bulk_actions = BulkActions::new(store.clone());
        tokio::spawn(bulk_actions.clone().run(stop.clone()));
        let repairs = Repairs::new(store.clone(), sandbox(), replay.clone());
        tokio::spawn(repairs.clone().run(stop.clone()));
        let alerts = AlertBoard::default();
        let follow = alerts::follow(config.prometheus.clone(), alerts.clone(), stop.clone());
        tokio::spawn(follow);
        let state = AppState {
            config,
            store,
            sampling,
            metrics,
            replay,
            intake: intake.board.clone(),
            observer: Observer::new(intake),
            bulk_actions,
            schemas,
            repairs,
            alerts,
            trace_export: ExportBoard::default(),
            taps: TapBoard::default(),
            stop,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let stop = state.stop.clone();
        tokio::spawn(web::serve(state.clone(), listener, stop));
        Self {
            address,
            state,
            _folder: folder,
        }
    }

    /// A dashboard as it looks on a busy day: both brokers, failures, edits, replays in every state.
    pub(crate) async fn busy() -> Self {
        let dashboard = Self::serve(
            busy_snapshot(Timestamp::now()),
            Config::parse(super::traced::EXPORT, []).unwrap(),
        )
        .await;
        super::traced::export(&dashboard.state.trace_export);
        live_through(&dashboard.state.sampling, Timestamp::now());
        fill(&dashboard.state.store).await;
        super::traced::follow(&dashboard.state.taps);
        dashboard
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }
}

/// Children of the test are the program that is tested.
pub(crate) fn sandbox() -> Sandbox {
    Sandbox::of(env!("CARGO_BIN_EXE_redrive"))
}

/// A configuration in which `orders.dlq` is managed.
pub(crate) fn managed_config() -> Config {
    let mut config = Config::parse("", []).unwrap();
    config.rabbitmq[0].queues.push(QueueConfig {
        vhost: "/".into(),
        name: "orders.dlq".into(),
        role: None,
        custody: Some(QueueCustody::Managed),
        observe_every: None,
    });
    config
}
