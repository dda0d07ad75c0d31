//! 1,000 groups, 10,000 partitions and 20,000 commits on one broker: requests, scrapes, and the CPU of whole cycles
//! against klag-exporter's. A cycle is a sample with all that follows from it, and one scrape of all series by a
//! client that takes gzip, as Prometheus does.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::cycles::{self, Cost, INTERVAL, MEASURED};
use crate::exporter::{self, Encoding, Exporter, Settings};
use crate::figure::{self, Goal};
use crate::load::{COMMITS_PER_GROUP, FEW_GROUPS, GROUPS, Load, PARTITIONS_PER_TOPIC, TOPICS};
use crate::process::{self, Watched};
use crate::{requests, runtime, scrapes};

const PARTITIONS: usize = TOPICS * PARTITIONS_PER_TOPIC as usize;
/// That of the configuration; the load stays below it.
const SERIES_LIMIT: usize = 500_000;
const CPU_GOAL: Goal = Goal::AtMost(0.06);
const BROKER_CPU_GOAL: Goal = Goal::AtMost(0.3);

pub(crate) fn run() -> Result<()> {
    let kafka = std::env::var("REDRIVE_BENCH_KAFKA")
        .context("REDRIVE_BENCH_KAFKA is not set; run `cargo xtask bench sampling kafka`")?;
    count_requests(&kafka)?;
    scrapes::run(&kafka, PARTITIONS, SERIES_LIMIT)?;
    let broker = Watched::session_of("REDRIVE_BENCH_KAFKA_PID")?;
    let ours = measure_redrive(&kafka, broker)?;
    let Some(program) = std::env::var_os("REDRIVE_BENCH_KLAG_EXPORTER") else {
        let reason = "klag-exporter could not be built";
        figure::print_unmeasured("sampling_cpu_ratio", reason, CPU_GOAL);
        figure::print_unmeasured("sampling_broker_cpu_ratio", reason, BROKER_CPU_GOAL);
        return Ok(());
    };
    let peers = measure_klag_exporter(Path::new(&program), &kafka, broker)?;
    let own = (ours.own, peers.own);
    figure::print_ratio("sampling_cpu_ratio", own, "s", CPU_GOAL);
    let brokers = (ours.broker, peers.broker);
    figure::print_ratio("sampling_broker_cpu_ratio", brokers, "s", BROKER_CPU_GOAL);
    Ok(())
}

fn count_requests(kafka: &str) -> Result<()> {
    let mut load = Load::connect(kafka)?;
    // First, because a broker that is busy with ten thousand new partitions takes minutes for it.
    load.wait_for_coordinator()?;
    load.create_topics()?;
    load.delete_groups(FEW_GROUPS..GROUPS)?;
    load.commit(0..FEW_GROUPS)?;
    let runtime = runtime()?;
    let few = runtime.block_on(requests::most(kafka, FEW_GROUPS))? as f64;
    load.commit(FEW_GROUPS..GROUPS)?;
    let all = runtime.block_on(requests::most(kafka, GROUPS))? as f64;
    figure::print("sampling_requests", all, "requests", Goal::AtMost(20.0));
    // The same as with all groups.
    figure::print(
        "sampling_requests_100_groups",
        few,
        "requests",
        Goal::AtMost(all),
    );
    Ok(())
}

fn measure_redrive(kafka: &str, broker: Watched) -> Result<Cost> {
    let idle = cycles::idle(broker)?;
    let service = exporter::redrive(&Settings {
        kafka: &[kafka.to_owned()],
        interval: INTERVAL,
        series_limit: SERIES_LIMIT,
    })?;
    service.wait_for_series("kafka_partition_current_offset", PARTITIONS)?;
    service.wait_for_series("kafka_consumer_group_lag", GROUPS * COMMITS_PER_GROUP)?;
    let cost = measure(&service, broker, idle)?;
    let bytes = process::resident_bytes(service.pid())?;
    figure::print(
        "sampling_rss_bytes",
        bytes as f64,
        "bytes",
        Goal::Below(100e6),
    );
    Ok(cost)
}

fn measure_klag_exporter(program: &Path, kafka: &str, broker: Watched) -> Result<Cost> {
    let idle = cycles::idle(broker)?;
    let peer = exporter::klag_exporter(program, kafka, INTERVAL)?;
    let all = GROUPS * COMMITS_PER_GROUP;
    peer.wait_for_series("kafka_consumergroup_group_lag", all)?;
    let cost = measure(&peer, broker, idle)?;
    let log = peer.log()?;
    let failed = ["Collection failed", "Collection timed out"];
    let failed = failed.iter().any(|words| log.contains(words));
    ensure!(!failed, "klag-exporter missed a cycle: {log}");
    let bytes = process::resident_bytes(peer.pid())?;
    figure::tell("klag_exporter_rss_bytes", bytes as f64, "bytes");
    Ok(cost)
}

/// After two cycles that are not counted: the first scrape, and what is compiled or cached.
fn measure(exporter: &Exporter, broker: Watched, idle: f64) -> Result<Cost> {
    let mut scraper = exporter.scraper()?;
    scraper.scrape(Encoding::Gzip)?;
    std::thread::sleep(INTERVAL * 2);
    let own = Watched::One(exporter.pid());
    cycles::measure((own, broker, idle), cycles::MEASURED, || {
        scraper.scrape(Encoding::Gzip).map(drop)
    })
    .with_context(|| format!("while {MEASURED} cycles were measured"))
}
