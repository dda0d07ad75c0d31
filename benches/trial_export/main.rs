//! `cargo xtask trial export`: a story is exported to a real OpenTelemetry Collector by both protocols over TLS, and what its
//! debug exporter printed is compared with what was meant. Without the Collector that `xtask` builds and starts for it,
//! it cannot run.
#![expect(clippy::print_stdout, reason = "the spans are what it is for")]

mod printed;
mod story;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use redrive::config::{Config, ExportProtocol, HumanDuration, Secret};
use redrive::metrics::Metrics;
use redrive::store::Store;
use redrive::traces::{ExportBoard, Exporter, TraceId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(100);

/// What the Collector prints of the story, however it came.
const MEANT: [&str; 8] = [
    "Internal OrderCreated",
    "Producer send orders < OrderCreated, 1 link",
    "Consumer process orders < send orders",
    "Producer send payments < process orders",
    "Consumer process orders < send orders, Error",
    // Their cause arrived after them.
    "Producer send mails < OrderCreated",
    "Producer send shipments < send payments",
    "Consumer process shipments < send shipments, 1 link",
];

fn main() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    for protocol in [ExportProtocol::Grpc, ExportProtocol::Http] {
        runtime.block_on(export(protocol))?;
    }
    Ok(())
}

async fn export(protocol: ExportProtocol) -> Result<()> {
    let name = protocol.as_str();
    let variable = format!("REDRIVE_TRIAL_OTLP_{}", name.to_uppercase());
    let endpoint = std::env::var(&variable)
        .with_context(|| format!("{variable} is not set: run `cargo xtask trial export`"))?;
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite:{}", folder.path().join("redrive.db").display());
    let store = Store::open(&url).await?;
    let mut config = Config::parse("", [])?;
    config.traces.export.endpoint = Some(Secret::new(endpoint));
    config.traces.export.protocol = protocol;
    config.traces.export.ca_file = std::env::var_os("REDRIVE_TRIAL_OTLP_CA").map(PathBuf::from);
    config.traces.export.quiet = HumanDuration(Duration::from_millis(500));
    let (board, stop) = (ExportBoard::default(), CancellationToken::new());
    let metrics = Arc::new(Metrics::new(Duration::from_secs(1)));
    let exporter = Exporter::configured(&Arc::new(config), &store, &metrics, &board, &stop);
    let task = tokio::spawn(exporter.context("an endpoint is configured")?.run());

    let order = format!("order-{}", uuid::Uuid::new_v4());
    until("the export has begun", async || {
        Ok(store.export_position().await?.is_some())
    })
    .await?;
    story::begin(&store, &order).await?;
    sent(&board, 6).await?;
    story::end(&store, &order).await?;
    sent(&board, story::SPANS).await?;
    stop.cancel();
    task.await?;

    let trace = TraceId::of(&order).context("it has an ID")?;
    let log = std::env::var("REDRIVE_TRIAL_OTLP_LOG")?;
    let mut spans = Vec::new();
    until("the Collector has printed the spans", async || {
        spans = printed::spans(&std::fs::read_to_string(&log)?, &trace.to_string());
        Ok(spans.len() as u64 >= story::SPANS)
    })
    .await?;
    println!("{name}: trace {trace}");
    for span in &spans {
        println!("  {span}");
    }
    for meant in MEANT {
        ensure!(
            spans.iter().any(|span| span == meant),
            "{name}: no span is {meant:?}"
        );
    }
    ensure!(
        spans.len() as u64 == story::SPANS,
        "{name}: {} spans",
        spans.len()
    );
    Ok(())
}

async fn sent(board: &ExportBoard, spans: u64) -> Result<()> {
    let settled = until("the spans are sent", async || {
        let status = board.status();
        Ok(status.sent >= spans && status.waiting == 0)
    });
    settled
        .await
        .with_context(|| format!("{:?}", board.status()))
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while !is_so().await? {
        ensure!(Instant::now() < deadline, "waited for: {what}");
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
