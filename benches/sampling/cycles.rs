//! What some cycles of an exporter cost, itself and the broker.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process::Watched;

/// Of every exporter, and how often each is scraped.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
pub(crate) const MEASURED: u32 = 6;

/// Seconds of CPU a cycle.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) own: f64,
    pub(crate) broker: f64,
}

/// The time of the broker while nobody asks.
pub(crate) fn idle(broker: Watched) -> Result<f64> {
    let before = broker.cpu_seconds()?;
    thread::sleep(INTERVAL * MEASURED);
    Ok((broker.cpu_seconds()? - before) / f64::from(MEASURED))
}

/// Calls `act` once in the middle of each of so many cycles; `idle` is taken off the broker's time.
pub(crate) fn measure(
    (own, broker, idle): (Watched, Watched, f64),
    measured: u32,
    mut act: impl FnMut() -> Result<()>,
) -> Result<Cost> {
    let (own_before, broker_before) = (own.cpu_seconds()?, broker.cpu_seconds()?);
    let started = Instant::now();
    for cycle in 0..measured {
        sleep_until(started + INTERVAL * cycle + INTERVAL / 2);
        act()?;
    }
    sleep_until(started + INTERVAL * measured);
    let cycles = f64::from(measured);
    Ok(Cost {
        own: (own.cpu_seconds()? - own_before) / cycles,
        broker: (broker.cpu_seconds()? - broker_before) / cycles - idle,
    })
}

pub(crate) fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}
