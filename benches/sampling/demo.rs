//! What the dashboard of the demo holds while nobody looks at it.

use anyhow::{Context as _, Result};

use crate::figure::{self, Goal};
use crate::process;

pub(crate) fn run() -> Result<()> {
    let pid = std::env::var("REDRIVE_BENCH_DEMO_PID")
        .context("REDRIVE_BENCH_DEMO_PID is not set; run `cargo xtask bench sampling demo`")?;
    let bytes = process::resident_bytes(pid.parse()?)?;
    figure::print(
        "demo_idle_rss_bytes",
        bytes as f64,
        "bytes",
        Goal::Below(60e6),
    );
    Ok(())
}
