//! The composition root: opens the store, starts every part with what it needs, and serves.

mod audit_head;
pub mod telemetry;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::alerts::{self, AlertBoard};
use crate::config::Config;
use crate::dead_letters::{
    self, BulkActions, IntakeBoard, IntakeContext, Looks, ManagedQueues, Observer, Repairs,
    Retention,
};
use crate::domain::{DeathReason, GlobError, Timestamp};
use crate::lifecycle::{Ending, Lifecycle};
use crate::metrics::Metrics;
use crate::replay::ReplayHandle;
use crate::sampling::SamplingHandle;
use crate::sandbox::Sandbox;
use crate::schemas::Schemas;
use crate::store::{HeldStore, NewAuditEntry, Store};
use crate::traces::{ExportBoard, Exporter, TapBoard, TapContext};
use crate::web::{self, AppState};
use crate::{dialects, notifications, replay, sampling, traces};

/// Runs Redrive until a signal.
pub async fn serve(config: Config) -> anyhow::Result<Ending> {
    let config = Arc::new(config);
    let sandbox = Sandbox::of_this_program();
    let schemas = Schemas::load(&config.schemas, &sandbox).await?;
    let listen = config.http.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on {listen}; is http.listen taken by another process?")
    })?;
    let _held = HeldStore::take(&config.store.url)?;
    let store = Store::open(&config.store.url)
        .await?
        .unwrapping(dialects::readable);
    let interval = *config.sampling.interval;
    let metrics = Arc::new(Metrics::configured(&config.metrics, interval));
    restore_counters(&store, &metrics).await?;
    let doubted = store.doubt_unfinished_returns().await?;
    if doubted > 0 {
        tracing::warn!(
            dead_letters = doubted,
            "the last run ended while dead letters went back into \
            their queues; they are open again, and may lie in their queues as well"
        );
    }
    let lifecycle = Lifecycle::new();
    let managed = ManagedQueues::load(&store).await?;
    let site = Site {
        config: &config,
        store: &store,
        metrics: &metrics,
        lifecycle: &lifecycle,
        stop: lifecycle.stop_token(),
    };
    let state = start_parts(&site, managed, (schemas, sandbox)).await?;
    audit_start(&store).await?;

    let heads = audit_head::log_hourly(store.clone(), lifecycle.stop_token());
    lifecycle.spawn("audit-head", heads);
    let stop = lifecycle.stop_token();
    lifecycle.spawn("http", async move {
        if let Err(error) = web::serve(state, listener, stop).await {
            tracing::error!(%error, "serving HTTP failed");
        }
    });
    tracing::info!(address = %format!("http://{listen}"), "the dashboard is ready");
    let ending = lifecycle.run_until_stopped().await?;
    audit_head::log(&store).await;
    store.close().await;
    Ok(ending)
}

/// What the parts are started with.
struct Site<'a> {
    config: &'a Arc<Config>,
    store: &'a Store,
    metrics: &'a Arc<Metrics>,
    lifecycle: &'a Lifecycle,
    stop: CancellationToken,
}

async fn start_parts(
    site: &Site<'_>,
    managed: ManagedQueues,
    (schemas, sandbox): (Schemas, Sandbox),
) -> anyhow::Result<AppState> {
    let sampling = site.start_sampling(&managed).await;
    let intake = site.start_intake(&sampling, managed);
    let (taps, trace_export) = site.start_traces(&sampling);
    let alerts = site.start_alerts();
    let replay = site.start_replays(&sampling, &schemas)?;
    let (bulk_actions, repairs) = site.start_keepers(sandbox, &replay);
    Ok(AppState {
        config: Arc::clone(site.config),
        store: site.store.clone(),
        sampling,
        metrics: Arc::clone(site.metrics),
        replay,
        intake: intake.board.clone(),
        observer: Observer::new(intake),
        bulk_actions,
        schemas,
        repairs,
        alerts,
        taps,
        trace_export,
        stop: site.stop.clone(),
    })
}

impl Site<'_> {
    async fn start_sampling(&self, managed: &ManagedQueues) -> SamplingHandle {
        let (store, stop) = (self.store, &self.stop);
        let managed = managed.subscribe();
        let metrics = Arc::clone(self.metrics);
        let spawn = |task| self.lifecycle.spawn("sampling", task);
        let sampling = sampling::resume(self.config, &managed, store, metrics, stop, spawn).await;
        let interval = *self.config.sampling.interval;
        let follow =
            sampling::follow_dlq_depths(sampling.clone(), store.clone(), interval, stop.clone());
        self.lifecycle.spawn("dlq-depths", follow);
        sampling
    }

    /// Intake, and who is told of what it finds.
    fn start_intake(&self, sampling: &SamplingHandle, managed: ManagedQueues) -> IntakeContext {
        let intake = IntakeContext {
            config: Arc::clone(self.config),
            store: self.store.clone(),
            metrics: Arc::clone(self.metrics),
            snapshots: sampling.subscribe(),
            board: IntakeBoard::default(),
            managed,
            looks: Looks::default(),
            stop: self.stop.clone(),
        };
        for (name, task) in dead_letters::tasks(&intake) {
            self.lifecycle.spawn(name, task);
        }
        for task in notifications::tasks(self.config, self.store, self.metrics, &self.stop) {
            self.lifecycle.spawn("notifications", task);
        }
        let trends = dead_letters::follow_group_trends(self.store.clone(), self.stop.clone());
        self.lifecycle.spawn("group trends", trends);
        intake
    }

    fn start_traces(&self, sampling: &SamplingHandle) -> (TapBoard, ExportBoard) {
        let taps = TapContext {
            config: Arc::clone(self.config),
            store: self.store.clone(),
            metrics: Arc::clone(self.metrics),
            snapshots: sampling.subscribe(),
            board: TapBoard::default(),
            stop: self.stop.clone(),
        };
        for task in traces::tasks(&taps) {
            self.lifecycle.spawn("traces", task);
        }
        let export = ExportBoard::default();
        let exporter =
            Exporter::configured(self.config, self.store, self.metrics, &export, &self.stop);
        if let Some(exporter) = exporter {
            self.lifecycle.spawn("trace export", exporter.run());
        }
        (taps.board, export)
    }

    fn start_alerts(&self) -> AlertBoard {
        let alerts = AlertBoard::default();
        let prometheus = self.config.prometheus.clone();
        let follow = alerts::follow(prometheus, alerts.clone(), self.stop.clone());
        self.lifecycle.spawn("alerts", follow);
        alerts
    }

    /// What works on dead letters that are stored.
    fn start_keepers(&self, sandbox: Sandbox, replay: &ReplayHandle) -> (BulkActions, Repairs) {
        let (store, stop) = (self.store, &self.stop);
        let (settings, metrics) = (self.config.retention.clone(), Arc::clone(self.metrics));
        let retention = Retention::new(settings, store.clone(), metrics, stop.clone());
        self.lifecycle.spawn("retention", retention.run());
        let bulk_actions = BulkActions::new(store.clone());
        let run = bulk_actions.clone().run(stop.clone());
        self.lifecycle.spawn("bulk actions", run);
        let repairs = Repairs::new(store.clone(), sandbox, replay.clone());
        self.lifecycle
            .spawn("repairs", repairs.clone().run(stop.clone()));
        (bulk_actions, repairs)
    }

    fn start_replays(
        &self,
        sampling: &SamplingHandle,
        schemas: &Schemas,
    ) -> Result<ReplayHandle, GlobError> {
        replay::start(
            self.config,
            self.store,
            self.metrics,
            sampling.subscribe(),
            &self.stop,
            Some(schemas.clone()),
            |task| self.lifecycle.spawn("replay", task),
        )
    }
}

/// Counters go on where they were before a restart.
async fn restore_counters(store: &Store, metrics: &Metrics) -> anyhow::Result<()> {
    for total in store.dead_letter_totals().await? {
        let reason = DeathReason::parse(&total.reason);
        let dlq = (&total.cluster, total.system, total.dlq.as_str());
        metrics.dead_letters_stored(dlq, &total.source, reason, total.total);
        metrics.dlq_backlog_read(&total.cluster, total.system, &total.dlq);
    }
    Ok(())
}

async fn audit_start(store: &Store) -> anyhow::Result<()> {
    let entry = NewAuditEntry {
        at: Timestamp::now(),
        actor: "system".to_owned(),
        address: String::new(),
        action: "service.start".to_owned(),
        detail: serde_json::json!({ "version": env!("CARGO_PKG_VERSION") }),
    };
    Ok(store.append_audit(&entry).await?)
}
