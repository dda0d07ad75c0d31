//! Whether the cost of a partition stays the same up to 100,000 of them: whole cycles of Redrive on a synthetic
//! broker, with a compressed scrape of all series each.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::exporter::{self, Encoding, Settings};
use crate::figure::{self, Goal};
use crate::process::{self, Watched};
use crate::synthetic::SyntheticBroker;

const FEW: i32 = 10_000;
const MANY: i32 = 100_000;
const SIZES: [i32; 3] = [FEW, 50_000, MANY];
const CYCLES: u32 = 6;
/// Until histories, connections and the compression of scrapes are as they stay.
const WARM_UP_CYCLES: u32 = 3;
const INTERVAL: Duration = Duration::from_secs(5);
const CYCLE_LIMIT: Duration = Duration::from_mins(1);
/// Above all that 100,000 partitions have: what is dropped would cost nothing.
const SERIES_LIMIT: usize = 10_000_000;
const MICROS_PER_SECOND: f64 = 1e6;

pub(crate) fn run() -> Result<()> {
    let mut costs = Vec::new();
    for partitions in SIZES {
        let cost = measure(partitions)?;
        let name = format!("sampling_cpu_per_partition_{partitions}");
        figure::tell(&name, cost.micros_per_partition, "µs");
        let name = format!("sampling_rss_bytes_{partitions}");
        figure::tell(&name, cost.resident_bytes as f64, "bytes");
        costs.push((partitions, cost.micros_per_partition));
    }
    let of = |size| {
        costs
            .iter()
            .filter(move |(partitions, _)| *partitions == size)
    };
    for ((_, few), (_, many)) in of(FEW).zip(of(MANY)) {
        let name = "sampling_linearity_ratio";
        figure::print_ratio(name, (*many, *few), "µs", Goal::AtMost(1.3));
    }
    Ok(())
}

struct Cost {
    micros_per_partition: f64,
    resident_bytes: u64,
}

fn measure(partitions: i32) -> Result<Cost> {
    let broker = SyntheticBroker::start(partitions)?;
    let service = exporter::redrive(&Settings {
        kafka: std::slice::from_ref(&broker.address),
        interval: INTERVAL,
        series_limit: SERIES_LIMIT,
    })?;
    let series = usize::try_from(partitions)?;
    service.wait_for_series("kafka_partition_current_offset", series)?;
    // Each partition is in two groups.
    service.wait_for_series("kafka_consumer_group_lag_seconds", 2 * series)?;
    let mut scraper = service.scraper()?;
    let mut run_cycles = |cycles| -> Result<f64> {
        let watched = Watched::One(service.pid());
        let first = next_look(&broker, broker.looks())?;
        let before = watched.cpu_seconds()?;
        for cycle in 0..cycles {
            thread::sleep(INTERVAL / 2);
            scraper.scrape(Encoding::Gzip)?;
            next_look(&broker, first + cycle)?;
        }
        Ok((watched.cpu_seconds()? - before) / f64::from(cycles))
    };
    run_cycles(WARM_UP_CYCLES)?;
    let seconds = run_cycles(CYCLES)?;
    Ok(Cost {
        micros_per_partition: seconds * MICROS_PER_SECOND / f64::from(partitions),
        resident_bytes: process::resident_bytes(service.pid())?,
    })
}

/// Waits until a sample has begun after the last that is known; answers how many have.
fn next_look(broker: &SyntheticBroker, last: u32) -> Result<u32> {
    let deadline = Instant::now() + CYCLE_LIMIT;
    while broker.looks() == last {
        ensure!(Instant::now() < deadline, "Redrive samples no more");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(broker.looks())
}
