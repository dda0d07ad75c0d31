//! `cargo xtask bench dead-letters [GROUP]`: what dead letters cost, as ratios against peers that run beside
//! them on the same machine and file system.
//!
//! One file a group of figures; without a word, all groups run one after the other. What is measured runs
//! in a process of its own: the bench starts itself again (`take-in`), or the release binary. A new group is
//! a file with `pub(crate) fn run() -> Result<()>` and a line in [`GROUPS`].
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod figure;
mod intake;
mod letters;
mod peer;
mod prepared;
mod process;
mod search;
mod site;
mod take_in;

use anyhow::{Result, bail};

/// A group of figures: its name and what prints them.
type Group = (&'static str, fn() -> Result<()>);

/// The groups in the order in which they run.
const GROUPS: &[Group] = &[("intake", intake::run), ("search", search::run)];

fn main() -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => GROUPS.iter().try_for_each(|(_, run)| run()),
        [take_in::WORD, arguments @ ..] => take_in::run(arguments),
        [name] => match GROUPS.iter().find(|(group, _)| group == name) {
            Some((_, run)) => run(),
            None => bail!("no figures {name:?}; there are {}", group_names()),
        },
        _ => bail!(
            "name one group of figures or none; there are {}",
            group_names()
        ),
    }
}

fn group_names() -> String {
    let names: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}
