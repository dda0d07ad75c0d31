//! Follows the audit's chain in the store itself, with or without a running service.

use std::process::ExitCode;

use serde_json::json;

use super::ConfigArgs;
use crate::store::{AuditReport, verify_audit};

/// Digits of a SHA-256 in hex.
const HASH_DIGITS: usize = 64;

#[derive(Debug, clap::Subcommand)]
pub(super) enum AuditCommand {
    /// Follow the hash chain and name every entry that was changed, removed or cut off. Reads the store
    /// and writes nothing. Exit code 0 if it is whole, 1 if not, 2 if it cannot be read.
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A hash that the log, the Audit page or an export gave earlier. Without one, entries that were cut
    /// off the end together with the database's own count of them go unnoticed.
    #[arg(long, value_name = "HASH", value_parser = hash)]
    head: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: AuditCommand) -> anyhow::Result<ExitCode> {
    let AuditCommand::Verify(args) = command;
    let config = args.config.load()?;
    let report = verify_audit(&config.store.url, args.head.as_deref()).await?;
    print(&report, &config.store.url, args.json);
    Ok(if report.faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[expect(clippy::print_stdout, reason = "the report is what the command is for")]
fn print(report: &AuditReport, url: &str, as_json: bool) {
    if as_json {
        let faults: Vec<_> = report.faults.iter().map(ToString::to_string).collect();
        let head = report.head.as_ref();
        let document = json!({
            "entries": report.entries,
            "head": head.map(|head| json!({ "seq": head.seq, "hash": head.hash })),
            "asked_seq": report.asked,
            "fault_count": report.fault_count,
            "faults": faults,
        });
        println!("{document}");
        return;
    }
    for fault in &report.faults {
        println!("{fault}");
    }
    let more = report.fault_count - report.faults.len() as u64;
    if more > 0 {
        println!("and {more} more");
    }
    if let Some(seq) = report.asked {
        println!("the hash that was asked for is that of entry {seq}");
    }
    match (&report.head, report.faults.is_empty()) {
        (None, true) => println!("{url}: the audit is empty"),
        (Some(head), true) => println!(
            "{url}: {} entries, none changed or missing; the head is entry {}, {}",
            report.entries, head.seq, head.hash
        ),
        (_, false) => println!("{url}: the audit is NOT as it was written"),
    }
}

fn hash(text: &str) -> Result<String, String> {
    let text = text.trim().to_ascii_lowercase();
    if text.len() == HASH_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text);
    }
    Err(format!(
        "give the {HASH_DIGITS} hexadecimal digits of the log line \"audit head\""
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_whole_hash() {
        let whole = "AB".repeat(32);
        assert_eq!(hash(&format!("{whole}\n")), Ok(whole.to_lowercase()));
        assert!(hash("ab12").unwrap_err().contains("64"));
        assert!(hash(&"z".repeat(64)).is_err());
    }
}
