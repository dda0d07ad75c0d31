use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::api_client::ApiArgs;
use crate::cli::terminal::{confirmed, visible};
use crate::web::markup::counted;

/// One request has at most so many bytes, and more only if one line is longer.
const REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// And so many lines, so that each is answered in seconds.
const REQUEST_LINES: usize = 2_000;
/// A longer line is no dead letter: the largest message is 16 MiB, which is 22 MiB in base64.
const LONGEST_LINE: usize = 48 * 1024 * 1024;

/// Faulty lines that are named; of the others only the number is said.
const NAMED_FAULTS: usize = 20;

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// A file that `export` wrote.
    file: PathBuf,
    /// Say what would be imported and import nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Default)]
struct Totals {
    lines: u64,
    imported: u64,
    already_here: u64,
    reopened: u64,
    still_in_queue: u64,
    faulty: u64,
    /// The first of them.
    faults: Vec<Fault>,
    ids: Vec<String>,
}

/// A line that cannot be imported.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Fault {
    line: u64,
    error: String,
}

/// Judges the whole file before anything of it is imported.
pub(super) async fn run(api: &ApiArgs, args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let judged = send(api, &args.file, true).await?;
    if judged.faulty > 0 {
        return Err(refused(api, judged));
    }
    if args.dry_run {
        report(api, &judged, "would be imported");
        return Ok(ExitCode::SUCCESS);
    }
    let question = format!(
        "Import {} dead letters ({} are here already)?",
        judged.imported, judged.already_here
    );
    if !args.yes && !confirmed(&question)? {
        bail!("nothing was imported");
    }
    let imported = send(api, &args.file, false).await?;
    report(api, &imported, "imported");
    Ok(ExitCode::SUCCESS)
}

/// Faulty lines as the answer, and as the error that the command ends with.
fn refused(api: &ApiArgs, judged: Totals) -> anyhow::Error {
    let named = |fault: &Fault| format!("\n  line {}: {}", fault.line, visible(&fault.error));
    let faults: String = judged.faults.iter().map(named).collect();
    let what = counted(judged.faulty, "faulty line", "faulty lines");
    if api.json {
        let nothing = Totals {
            imported: 0,
            reopened: 0,
            ..judged
        };
        report(api, &nothing, "imported");
    }
    anyhow!("nothing was imported: {what}{faults}")
}

async fn send(api: &ApiArgs, file: &Path, dry_run: bool) -> anyhow::Result<Totals> {
    let name = file.display();
    let opened = std::fs::File::open(file).with_context(|| format!("cannot read {name}"))?;
    let mut reader = BufReader::new(opened);
    let mut totals = Totals::default();
    let query = [("dry_run", if dry_run { "true" } else { "false" })];
    let mut first_line = 1;
    loop {
        let (part, lines) =
            next_part(&mut reader).with_context(|| format!("cannot read {name}"))?;
        if lines == 0 {
            return Ok(totals);
        }
        let answer = api
            .post_lines(&["dead-letters", "import"], &query, part)
            .await
            .with_context(|| {
                format!(
                    "from line {first_line} on nothing was imported; import the file again to go on"
                )
            })?;
        totals.add(&answer, first_line);
        first_line += lines;
    }
}

/// The next lines of one request, and how many they are.
fn next_part(reader: &mut impl BufRead) -> anyhow::Result<(Vec<u8>, usize)> {
    let mut part = Vec::new();
    let mut lines = 0;
    while part.len() < REQUEST_BYTES && lines < REQUEST_LINES {
        let before = part.len();
        let read = reader
            .by_ref()
            .take(LONGEST_LINE as u64)
            .read_until(b'\n', &mut part)?;
        if read == 0 {
            break;
        }
        lines += 1;
        if part.len() - before >= LONGEST_LINE && !part.ends_with(b"\n") {
            bail!("a line has more than {LONGEST_LINE} bytes");
        }
    }
    Ok((part, lines))
}

impl Totals {
    fn add(&mut self, answer: &Value, first_line: usize) {
        let count = |field: &str| answer[field].as_u64().unwrap_or(0);
        self.lines += count("lines");
        self.imported += count("imported");
        self.already_here += count("already_here");
        self.reopened += count("reopened");
        self.still_in_queue += count("still_in_queue");
        self.faulty += count("faulty");
        self.ids
            .extend(answer["dead_letter_ids"].as_str().map(str::to_owned));
        for fault in answer["faults"].as_array().into_iter().flatten() {
            if self.faults.len() < NAMED_FAULTS {
                let line = fault["line"].as_u64().unwrap_or(0) + first_line as u64 - 1;
                let error = fault["error"].as_str().unwrap_or("").to_owned();
                self.faults.push(Fault { line, error });
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result is what the command is for")]
fn report(api: &ApiArgs, totals: &Totals, done: &str) {
    if api.json {
        let ids = totals.ids.join(",");
        println!(
            "{}",
            json!({
                "lines": totals.lines, "imported": totals.imported,
                "already_here": totals.already_here, "reopened": totals.reopened,
                "still_in_queue": totals.still_in_queue,
                "dead_letter_ids": ids,
                "faulty": totals.faulty, "faults": totals.faults,
            })
        );
        return;
    }
    println!(
        "{} of {} lines {done}, {} are here already",
        totals.imported, totals.lines, totals.already_here
    );
    if totals.reopened > 0 {
        println!(
            "{} of them as open: a replay or a discard does not travel",
            totals.reopened
        );
    }
    if totals.still_in_queue > 0 {
        println!(
            "{} of them as still lying in their queue: take them into custody before a replay",
            totals.still_in_queue
        );
    }
    if !totals.ids.is_empty() {
        println!("dead letters {}", visible(&totals.ids.join(",")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_in_requests_of_whole_lines() {
        let line = format!("{}\n", "x".repeat(1_500_000));
        let file = line.repeat(7);
        let mut reader = file.as_bytes();
        let mut sizes = Vec::new();
        loop {
            let (part, lines) = next_part(&mut reader).unwrap();
            if lines == 0 {
                break;
            }
            assert!(part.ends_with(b"\n"));
            sizes.push(lines);
        }
        assert_eq!(sizes, [3, 3, 1]);
    }

    #[test]
    fn faults_are_named_by_their_line_in_the_file() {
        let mut totals = Totals::default();
        let answer = json!({"faulty": 1, "faults": [{"line": 3, "error": "no JSON"}]});
        totals.add(&answer, 2001);
        let error = "no JSON".to_owned();
        assert_eq!(totals.faults, [Fault { line: 2003, error }]);
    }
}
