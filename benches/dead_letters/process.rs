//! What the kernel says of a process.

use std::fs;

use anyhow::{Context as _, Result};

/// Resident memory of a process now; `self` names this one.
pub(crate) fn resident_bytes(process: &str) -> Result<u64> {
    memory(process, "VmRSS:")
}

/// The most that it was ever resident.
pub(crate) fn peak_resident_bytes(process: &str) -> Result<u64> {
    memory(process, "VmHWM:")
}

fn memory(process: &str, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))
        .with_context(|| format!("there is no process {process}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: u64 = kibibytes
        .with_context(|| format!("{field} is missing"))?
        .trim()
        .parse()?;
    Ok(kibibytes * 1024)
}
