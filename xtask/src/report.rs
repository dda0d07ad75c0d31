//! What the steps of `cargo xtask test` found, and the line that sums it up.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process::{shown, wait_if_ending};

/// A step counts as one test; `cargo test` counts as many as it reports.
#[derive(Default)]
pub(crate) struct Report {
    counts: Counts,
    lines: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    passed: u64,
    failed: u64,
}

impl Report {
    /// A command that is a step of its own.
    pub(crate) fn command(&mut self, command: &mut Command) {
        let name = shown(command);
        let began = announce(&name);
        let outcome = command
            .stdin(Stdio::null())
            .status()
            .context("it cannot be run");
        let outcome = outcome.and_then(fail_unless_successful);
        self.counts.add(one(outcome.is_ok()));
        self.line(&name, began.elapsed(), outcome.err());
    }

    /// Something that other steps need. It counts only if it fails.
    pub(crate) fn needed<T>(
        &mut self,
        name: &str,
        action: impl FnOnce() -> Result<T>,
    ) -> Option<T> {
        let began = announce(name);
        match action() {
            Ok(value) => Some(value),
            Err(error) => {
                self.counts.add(one(false));
                self.line(name, began.elapsed(), Some(error));
                None
            }
        }
    }

    /// `cargo test`, whose own counts are added up. One that fails without a failed test, because
    /// something did not compile or a test ended the process, counts as one failure.
    pub(crate) fn tests(&mut self, command: &mut Command) {
        let name = shown(command);
        let began = announce(&name);
        let (counts, error) = match run_and_count(command) {
            Ok((counts, status)) => (counts, fail_unless_successful(status).err()),
            Err(error) => (Counts::default(), Some(error)),
        };
        self.counts.add(counts);
        if error.is_some() && counts.failed == 0 {
            self.counts.add(one(false));
        }
        self.line(&name, began.elapsed(), error);
    }

    pub(crate) fn note(&mut self, text: &str) {
        eprintln!("{text}");
        self.lines.push(format!("note      -  {text}"));
    }

    /// The last line of standard output is the sum alone, for machines that read it.
    pub(crate) fn print(&self) -> ExitCode {
        println!("\nsteps:");
        for line in &self.lines {
            println!("  {line}");
        }
        println!(
            "{} passed, {} failed",
            self.counts.passed, self.counts.failed
        );
        if self.counts.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn line(&mut self, name: &str, took: Duration, error: Option<anyhow::Error>) {
        let seconds = took.as_secs();
        let line = match error {
            None => format!("ok   {seconds:>4} s  {name}"),
            Some(error) => format!("FAIL {seconds:>4} s  {name}: {error:#}"),
        };
        self.lines.push(line);
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

fn one(is_passed: bool) -> Counts {
    Counts {
        passed: u64::from(is_passed),
        failed: u64::from(!is_passed),
    }
}

fn announce(name: &str) -> Instant {
    wait_if_ending();
    eprintln!("\n=== {name}");
    Instant::now()
}

fn fail_unless_successful(status: ExitStatus) -> Result<()> {
    ensure!(status.success(), "{status}");
    Ok(())
}

fn run_and_count(command: &mut Command) -> Result<(Counts, ExitStatus)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child
        .stdout
        .take()
        .context("the output of cargo test cannot be read")?;
    let counts = show_and_count(output, &mut std::io::stdout())?;
    Ok((counts, child.wait()?))
}

/// Shows the output line by line and adds up what it says about results.
fn show_and_count(output: impl Read, screen: &mut impl Write) -> Result<Counts> {
    let mut counts = Counts::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        screen.write_all(&line)?;
        screen.write_all(b"\n")?;
        if let Some(result) = parse_result(&String::from_utf8_lossy(&line)) {
            counts.add(result);
        }
    }
    Ok(counts)
}

/// Reads `test result: ok. 12 passed; 0 failed; 1 ignored; …`.
fn parse_result(line: &str) -> Option<Counts> {
    let (_, result) = line.split_once("test result: ")?;
    let (_, counts) = result.split_once(". ")?;
    let count = |what: &str| {
        let part = counts.split("; ").find(|part| part.ends_with(what))?;
        part.split_whitespace().next()?.parse().ok()
    };
    Some(Counts {
        passed: count(" passed")?,
        failed: count(" failed")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_cargo_test_are_read() {
        let check = |line: &str, expected: Option<(u64, u64)>| {
            let expected = expected.map(|(passed, failed)| Counts { passed, failed });
            assert_eq!(parse_result(line), expected, "{line}");
        };
        let rest = "1 ignored; 0 measured; 3 filtered out; finished in 0.00s";
        check(
            &format!("test result: ok. 12 passed; 0 failed; {rest}"),
            Some((12, 0)),
        );
        check(
            &format!("test result: FAILED. 3 passed; 2 failed; {rest}"),
            Some((3, 2)),
        );
        check("test results::are_read ... ok", None);
    }

    #[test]
    fn the_results_of_all_binaries_are_added_up() {
        let output = b"running 1 test\ntest result: ok. 1 passed; 0 failed; 0 ignored\n\
            odd bytes \xff\ntest result: FAILED. 0 passed; 2 failed; 0 ignored";
        let counts = show_and_count(&output[..], &mut std::io::sink()).unwrap();
        assert_eq!(
            counts,
            Counts {
                passed: 1,
                failed: 2
            }
        );
    }
}
