//! How long a scrape of all series takes while Redrive samples, and while another of its brokers accepts
//! connections and never answers.

use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::exporter::{self, Encoding, Scraper, Settings};
use crate::figure::{self, Goal};

const SCRAPES: u32 = 300;
/// Between two scrapes, so that they meet a sample in every phase.
const PAUSE: Duration = Duration::from_millis(50);
/// Shorter than usual, so that many scrapes meet a sample.
const INTERVAL: Duration = Duration::from_secs(2);
const GOAL: Goal = Goal::Below(20.0);

/// For each partition of the load there has to be a series of this name.
pub(crate) fn run(kafka: &str, partitions: usize, series_limit: usize) -> Result<()> {
    let service = exporter::redrive(&Settings {
        kafka: &[kafka.to_owned(), hanging_broker()?],
        interval: INTERVAL,
        series_limit,
    })?;
    service.wait_for_series("kafka_partition_current_offset", partitions)?;
    let mut scraper = service.scraper()?;
    let mut plain = Vec::new();
    let mut gzip = Vec::new();
    // What the first compressed scrape has to compress is compressed ahead from then on.
    scraper.scrape(Encoding::Gzip)?;
    scraper.scrape(Encoding::Plain)?;
    for _ in 0..SCRAPES {
        plain.push(timed(&mut scraper, Encoding::Plain)?);
        gzip.push(timed(&mut scraper, Encoding::Gzip)?);
    }
    let text = scraper.scrape(Encoding::Plain)?;
    let (bytes, text) = (text.len(), String::from_utf8_lossy(text));
    let is_down = |line: &str| {
        line.starts_with("redrive_broker_up{cluster=\"kafka-1\"") && line.ends_with(" 0")
    };
    ensure!(text.lines().any(is_down), "the other broker does not hang");
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    figure::tell("scrape_series", series as f64, "series");
    figure::tell("scrape_bytes", bytes as f64, "bytes");
    figure::print("scrape_p99_ms", p99(plain)?, "ms", GOAL);
    figure::print("scrape_gzip_p99_ms", p99(gzip)?, "ms", GOAL);
    Ok(())
}

fn timed(scraper: &mut Scraper, encoding: Encoding) -> Result<f64> {
    thread::sleep(PAUSE);
    let started = Instant::now();
    scraper.scrape(encoding)?;
    Ok(started.elapsed().as_secs_f64() * 1_000.0)
}

fn p99(mut millis: Vec<f64>) -> Result<f64> {
    millis.sort_by(f64::total_cmp);
    let index = (millis.len() * 99).div_ceil(100).saturating_sub(1);
    millis.get(index).copied().context("there was no scrape")
}

/// Lives as long as the bench.
fn hanging_broker() -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        let mut accepted = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            accepted.push(stream);
        }
    });
    Ok(address)
}
