//! The composition root: opens the store, starts every part with what it needs, and serves.

mod audit_head;
pub mod telemetry;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::alerts::{self, AlertBoard};
use crate::config::Config;
use crate::dead_letters::{
    self, BulkActions, IntakeBoard, IntakeContext, ManagedQueues, Observer, Repairs, Retention,
};
use crate::domain::{DeathReason, Timestamp};
use crate::lifecycle::{Ending, Lifecycle};
use crate::metrics::Metrics;
use crate::sandbox::Sandbox;
use crate::schemas::Schemas;
use crate::store::{NewAuditEntry, Store};
use crate::traces::{ExportBoard, Exporter, TapBoard, TapContext};
use crate::web::{self, AppState};
use crate::{notifications, replay, sampling, traces};

/// Runs Redrive until a signal.
pub async fn serve(config: Config) -> anyhow::Result<Ending> {
    let config = Arc::new(config);
    let sandbox = Sandbox::of_this_program();
    let schemas = Schemas::load(&config.schemas, &sandbox).await?;
    let listen = config.http.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on {listen}; is http.listen taken by another process?")
    })?;
    let store = Store::open(&config.store.url).await?;
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
    let parts = (schemas, sandbox);
    let state = start_parts(&config, &store, &metrics, managed, &lifecycle, parts).await?;
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

async fn start_parts(
    config: &Arc<Config>,
    store: &Store,
    metrics: &Arc<Metrics>,
    managed: ManagedQueues,
    lifecycle: &Lifecycle,
    (schemas, sandbox): (Schemas, Sandbox),
) -> anyhow::Result<AppState> {
    let stop = lifecycle.stop_token();
    let sampling = sampling::resume(config, store, Arc::clone(metrics), &stop, |task| {
        lifecycle.spawn("sampling", task);
    })
    .await;
    let (depths, interval) = (sampling.clone(), *config.sampling.interval);
    let follow = sampling::follow_dlq_depths(depths, store.clone(), interval, stop.clone());
    lifecycle.spawn("dlq-depths", follow);
    let intake = IntakeContext {
        config: Arc::clone(config),
        store: store.clone(),
        metrics: Arc::clone(metrics),
        snapshots: sampling.subscribe(),
        board: IntakeBoard::default(),
        managed,
        stop: stop.clone(),
    };
    for (name, task) in dead_letters::tasks(&intake) {
        lifecycle.spawn(name, task);
    }
    for task in notifications::tasks(config, store, metrics, &stop) {
        lifecycle.spawn("notifications", task);
    }
    let taps = TapContext {
        config: Arc::clone(config),
        store: store.clone(),
        metrics: Arc::clone(metrics),
        snapshots: sampling.subscribe(),
        board: TapBoard::default(),
        stop: stop.clone(),
    };
    for task in traces::tasks(&taps) {
        lifecycle.spawn("traces", task);
    }
    let trace_export = ExportBoard::default();
    let exporter = Exporter::configured(config, store, metrics, &trace_export, &stop);
    if let Some(exporter) = exporter {
        lifecycle.spawn("trace export", exporter.run());
    }
    let alerts = AlertBoard::default();
    let follow = alerts::follow(config.prometheus.clone(), alerts.clone(), stop.clone());
    lifecycle.spawn("alerts", follow);
    let trends = dead_letters::follow_group_trends(store.clone(), stop.clone());
    lifecycle.spawn("group trends", trends);
    let retention = Retention::new(
        config.retention.clone(),
        store.clone(),
        Arc::clone(metrics),
        stop.clone(),
    );
    lifecycle.spawn("retention", retention.run());
    let bulk_actions = BulkActions::new(store.clone());
    lifecycle.spawn("bulk actions", bulk_actions.clone().run(stop.clone()));
    let repairs = Repairs::new(store.clone(), sandbox);
    lifecycle.spawn("repairs", repairs.clone().run(stop.clone()));
    let replay = replay::start(
        config,
        store,
        metrics,
        sampling.subscribe(),
        &stop,
        Some(schemas.clone()),
        |task| {
            lifecycle.spawn("replay", task);
        },
    )?;
    Ok(AppState {
        config: Arc::clone(config),
        store: store.clone(),
        sampling,
        metrics: Arc::clone(metrics),
        replay,
        intake: intake.board.clone(),
        observer: Observer::new(intake),
        bulk_actions,
        schemas,
        repairs,
        alerts,
        taps: taps.board,
        trace_export,
        stop,
    })
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
