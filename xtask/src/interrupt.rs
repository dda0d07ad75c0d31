//! Ctrl-C and its relatives stop what this command started before they end it.

use std::thread;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::process::Started;

/// How a command that is interrupted ends.
#[derive(Clone, Copy)]
pub(crate) enum Interruption {
    /// Ctrl-C is its ordinary end.
    Expected,
    /// Ctrl-C cut it short.
    CutShort,
}

pub(crate) fn stop_on_interrupt(started: Started, interruption: Interruption) -> Result<()> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot listen for Ctrl-C")?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            eprintln!();
            started.stop_all_and_exit(match interruption {
                Interruption::Expected => 0,
                // What a shell reports for a command that Ctrl-C ended.
                Interruption::CutShort => 130,
            });
        }
    });
    Ok(())
}
