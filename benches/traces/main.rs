//! `cargo xtask bench traces [GROUP]`: what following events costs, as ratios against peers in the same run, and
//! what a million of them take.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "../dead_letters/figure.rs"]
mod figure;
#[path = "../dead_letters/prepared.rs"]
mod prepared;

mod events;
mod million;
mod peer;
mod read;
mod server;
mod site;
mod store;

use anyhow::{Result, bail};

/// A group of figures: its name and what prints them.
type Group = (&'static str, fn() -> Result<()>);

/// The groups in the order in which they run.
const GROUPS: &[Group] = &[
    ("read", read::run),
    ("store", store::run),
    ("million", million::run),
];

fn main() -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    // Cargo adds `--bench`.
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    let words: Vec<String> = words.collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    let groups: Vec<&Group> = GROUPS.iter().filter(|(name, _)| wanted(name)).collect();
    if words.len() > 1 || groups.is_empty() {
        bail!("name one group of figures or none; there are read, store, million");
    }
    groups.into_iter().try_for_each(|(_, run)| run())
}
