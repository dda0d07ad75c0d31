//! `cargo xtask bench sampling [GROUP]`: what it costs to look at brokers, as ratios to what others cost beside it in
//! the same run.
//!
//! One file a group of figures. What is measured runs in processes of its own: the release binary, and
//! klag-exporter. A new group is a file with `pub(crate) fn run() -> Result<()>`, a line in [`GROUPS`], and one in
//! `xtask/src/bench.rs`, which starts the brokers that it needs.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod cycles;
mod demo;
mod exporter;
mod figure;
mod kafka;
mod linearity;
mod load;
mod process;
mod rabbitmq;
mod requests;
mod scrapes;
mod synthetic;

use anyhow::{Result, bail};

/// A group of figures: its name and what prints them.
type Group = (&'static str, fn() -> Result<()>);

const GROUPS: &[Group] = &[
    ("kafka", kafka::run),
    ("linearity", linearity::run),
    ("rabbitmq", rabbitmq::run),
    ("demo", demo::run),
];

fn main() -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let wanted = |(name, _): &&Group| words.iter().any(|word| word == name);
    match GROUPS.iter().find(wanted) {
        Some((_, run)) => run(),
        None => bail!("no such figures; run `cargo xtask bench sampling`"),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}
