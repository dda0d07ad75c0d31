//! `cargo xtask trial export`: a story is exported to a real OpenTelemetry Collector by both protocols over TLS, linked to the
//! application's trace and joined with it, and what its debug exporter printed is compared with what was meant. Without the
//! Collector that `xtask` builds and starts for it, it cannot run.
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

/// Into which traces a story goes, and what the Collector prints of it, however it came.
struct Meant {
    joins: bool,
    in_its_own: &'static [&'static str],
    in_the_application_s: &'static [&'static str],
}

const LINKED: Meant = Meant {
    joins: false,
    in_its_own: &[
        "Internal OrderCreated",
        "Producer send orders < OrderCreated, 1 link",
        "Consumer process orders < send orders",
        "Producer send payments < process orders",
        "Consumer process orders < send orders, Error",
        // Their cause arrived after them.
        "Producer send mails < OrderCreated",
        "Producer send shipments < send payments",
        "Consumer process shipments < send shipments, 1 link",
    ],
    in_the_application_s: &[],
};

/// With `traces.join_application_traces`.
const JOINED: Meant = Meant {
    joins: true,
    in_its_own: &[
        "Internal OrderCreated",
        "Producer send mails < OrderCreated",
    ],
    in_the_application_s: &[
        "Producer send orders < 00f067aa0ba902b7",
        "Consumer process orders < send orders",
        "Producer send payments < process orders",
        "Consumer process orders < send orders, Error",
        "Producer send shipments < send payments",
        "Consumer process shipments < send shipments, 1 link",
    ],
};

fn main() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    for protocol in [ExportProtocol::Grpc, ExportProtocol::Http] {
        for meant in [LINKED, JOINED] {
            runtime.block_on(export(protocol, &meant))?;
        }
    }
    Ok(())
}

async fn export(protocol: ExportProtocol, meant: &Meant) -> Result<()> {
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
    config.traces.join_application_traces = meant.joins;
    config.traces.export.quiet = HumanDuration(Duration::from_millis(500));
    let (board, stop) = (ExportBoard::default(), CancellationToken::new());
    let metrics = Arc::new(Metrics::new(Duration::from_secs(1)));
    let exporter = Exporter::configured(&Arc::new(config), &store, &metrics, &board, &stop);
    let task = tokio::spawn(exporter.context("an endpoint is configured")?.run());

    let order = format!("order-{}", uuid::Uuid::new_v4());
    let application = uuid::Uuid::new_v4().simple().to_string();
    until("the export has begun", async || {
        Ok(store.export_position().await?.is_some())
    })
    .await?;
    story::begin(&store, &order, &application).await?;
    sent(&board, 6).await?;
    story::end(&store, &order).await?;
    sent(&board, story::SPANS).await?;
    stop.cancel();
    task.await?;

    let own = TraceId::of(&order).context("it has an ID")?.to_string();
    let log = std::env::var("REDRIVE_TRIAL_OTLP_LOG")?;
    let (mut in_its_own, mut in_the_application_s) = (Vec::new(), Vec::new());
    until("the Collector has printed the spans", async || {
        let log = std::fs::read_to_string(&log)?;
        in_its_own = printed::spans(&log, &own);
        in_the_application_s = printed::spans(&log, &application);
        Ok((in_its_own.len() + in_the_application_s.len()) as u64 >= story::SPANS)
    })
    .await?;
    println!("{name}, join_application_traces = {}", meant.joins);
    compare(&own, &in_its_own, meant.in_its_own)?;
    compare(
        &application,
        &in_the_application_s,
        meant.in_the_application_s,
    )
}

fn compare(trace: &str, printed: &[String], meant: &[&str]) -> Result<()> {
    println!("  trace {trace}");
    for span in printed {
        println!("    {span}");
    }
    for meant in meant {
        ensure!(
            printed.iter().any(|span| span == meant),
            "no span is {meant:?}"
        );
    }
    ensure!(printed.len() == meant.len(), "{} spans", printed.len());
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
