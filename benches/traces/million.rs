//! The release binary that follows a million events in 200,000 traces: `traces_rss_bytes`, `trace_page_p99_ms`, and
//! `tap_to_page_seconds` while 5,000 more come every second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use uuid::Uuid;

use crate::events::{A_TRACE, Producer, correlation_id};
use crate::figure::{self, Goal};
use crate::server::Server;
use crate::{site, store};

const EVENTS: u64 = 1_000_000;
/// Events in the topic that are not stored yet, at most: a tap that is seconds behind keeps all of them, one that falls
/// behind by more than half a minute leaves out traces.
const AHEAD: u64 = 40_000;
const PAGES: u64 = 300;
const PER_SECOND: u64 = 5_000;
/// Whose slowest is the figure.
const PROBES: usize = 40;
const POLL: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_mins(20);

pub(crate) fn run() -> Result<()> {
    site::with_topic(0, |config, topic| {
        let group = site::group_at_the_start(config, topic)?;
        let database = site::fresh_database("million.db")?;
        let sections = format!(
            "[store]\nurl = '{}'\n[[kafka]]\nbootstrap_servers = ['{}']\n\
             [traces]\nkafka_topics = ['{topic}']\nconsumer_group = '{group}'\nmax_events = 2000000\n",
            site::store_url(&database),
            config.bootstrap_servers.join("', '"),
        );
        site::runtime()?.block_on(measure(&sections, topic))?;
        site::fresh_database("million.db").map(drop)
    })
}

async fn measure(sections: &str, topic: &str) -> Result<()> {
    let server = Server::start(sections).await?;
    follow_all(&server, topic).await?;
    let traces = EVENTS / A_TRACE;
    let pages = (0..PAGES).map(|page| format!("/traces/{}", correlation_id(page * traces / PAGES)));
    let pages: Vec<String> = pages.collect();
    let page_p99 = server.slowest(&pages, 99).await?;
    figure::print("trace_page_p99_ms", page_p99, "ms", Goal::Below(20.0));
    for path in [
        "/traces",
        "/traces?dead=1",
        "/traces?duplicate=1",
        "/flow",
        "/duplicates",
    ] {
        let p99 = server.slowest(&vec![path.to_owned(); 20], 99).await?;
        println!("{path} p99: {p99:.1} ms");
    }
    let resident = server.resident_bytes()? as f64;
    figure::print("traces_rss_bytes", resident, "bytes", Goal::Below(250e6));
    let slowest = to_page(&server, topic).await?;
    figure::print("tap_to_page_seconds", slowest, "s", Goal::Below(2.0));
    Ok(())
}

/// Fills the topic no faster than the server follows, until all is stored.
async fn follow_all(server: &Server, topic: &str) -> Result<()> {
    let producer = Producer::new(&site::kafka()?)?;
    let deadline = Instant::now() + LIMIT;
    let mut sent = 0;
    loop {
        let stored = store::stored(&server.get("/metrics").await?.1);
        if stored >= EVENTS {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "only {stored} of {sent} events were stored"
        );
        let until = EVENTS.min(stored + AHEAD);
        tokio::task::block_in_place(|| {
            (sent..until).try_for_each(|number| producer.send(topic, number))
        })?;
        sent = sent.max(until);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The longest time from sending an event to its page, while others come all the time.
async fn to_page(server: &Server, topic: &str) -> Result<f64> {
    let (stop, loaded) = (Arc::new(AtomicBool::new(false)), topic.to_owned());
    let load = {
        let (stop, producer) = (Arc::clone(&stop), Producer::new(&site::kafka()?)?);
        tokio::task::spawn_blocking(move || press(&producer, &loaded, &stop))
    };
    let seen = probe(server, &Producer::new(&site::kafka()?)?, topic).await;
    stop.store(true, Ordering::Relaxed);
    let sent = load.await.context("the load panicked")??;
    println!("{sent:.0} events/s came meanwhile");
    seen
}

async fn probe(server: &Server, producer: &Producer, topic: &str) -> Result<f64> {
    let mut slowest = 0.0_f64;
    for _ in 0..PROBES {
        let id = Uuid::new_v4().to_string();
        let sent = Instant::now();
        producer.send_probe(topic, &id)?;
        while server.get(&format!("/traces/{id}")).await?.0 != StatusCode::OK {
            ensure!(sent.elapsed() < LIMIT, "the event never came");
            tokio::time::sleep(POLL).await;
        }
        slowest = slowest.max(sent.elapsed().as_secs_f64());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(slowest)
}

/// Sends at the wanted rate until told to stop; how many a second it were.
fn press(producer: &Producer, topic: &str, stop: &AtomicBool) -> Result<f64> {
    let started = Instant::now();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = u64::try_from(started.elapsed().as_millis())? * PER_SECOND / 1000;
        while sent < due {
            producer.send(topic, EVENTS + sent)?;
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(sent as f64 / started.elapsed().as_secs_f64())
}
