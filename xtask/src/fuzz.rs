//! `cargo xtask fuzz [TARGET] [--minutes N]`: libFuzzer over the targets of `tests/fuzz`, on the stable
//! compiler.
//!
//! The build is one of its own under `target/fuzz`, since every crate is instrumented. What an earlier run
//! learned is kept there too and taken up again. An input that breaks a promise is written into the
//! committed corpus, where each `cargo test` then fails until it is fixed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::process;
use crate::provision;
use crate::workspace::Workspace;

const MINUTES: u64 = 10;
const CORPUS: &str = "tests/fuzz/corpus";

/// Edges, comparisons and their places: what libFuzzer steers by. The same as a sanitizer would switch on,
/// which only the nightly compiler has.
const INSTRUMENTATION: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg",
    "fuzzing",
];

/// An input that takes more memory, or longer, is a finding.
const LIMITS: [&str; 2] = ["-rss_limit_mb=2048", "-timeout=20"];

/// Inputs that are committed elsewhere: folders by target, as in `TARGETS` of `tests/fuzz`.
const FURTHER_INPUTS: [(&str, &str); 3] = [
    ("dialects", "tests/fixtures/dialects/recorded"),
    ("rendering", "tests/fixtures/dialects/recorded"),
    ("configuration", "docker"),
];

/// Where the words stand that an input of the target may need.
const WORDS: [(&str, &str); 7] = [
    ("dialects", "src/dialects"),
    ("rendering", "src/dialects"),
    ("filters", "src/domain/filter"),
    ("imports", "src/domain"),
    ("imports", "src/dialects"),
    ("wire", "src/brokers/rabbitmq"),
    ("configuration", "src/config"),
];

/// What one target's run came to.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    executions: u64,
    coverage: u64,
    inputs: u64,
}

pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let (targets, minutes) = chosen(&all_targets(workspace)?, arguments)?;
    provision::debian_packages(&provision::BUILD_PACKAGES)?;
    let program = build(workspace)?;
    let mut lines = Vec::new();
    let mut are_all_well = true;
    for target in targets {
        let before = found(workspace, &target)?;
        let outcome = fuzz(workspace, &program, &target, minutes)?;
        let new: Vec<PathBuf> = found(workspace, &target)?
            .difference(&before)
            .cloned()
            .collect();
        are_all_well &= new.is_empty();
        lines.push(line(&target, minutes, &outcome, &new));
    }
    println!();
    for line in lines {
        println!("{line}");
    }
    ensure!(are_all_well, "the fuzzers found something; see above");
    Ok(())
}

/// The folders of the corpus, each of which is a target.
fn all_targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root().join(CORPUS);
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let name = |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort();
    Ok(names)
}

fn chosen(all: &[String], arguments: &[&str]) -> Result<(Vec<String>, u64)> {
    let (names, minutes) = match arguments {
        [names @ .., "--minutes", minutes] => (names, minutes.parse().ok()),
        names => (names, Some(MINUTES)),
    };
    let minutes = minutes
        .filter(|minutes| *minutes > 0)
        .context("--minutes takes a whole number from 1 on")?;
    match names {
        [] => Ok((all.to_vec(), minutes)),
        [name] if all.iter().any(|target| target == name) => {
            Ok((vec![(*name).to_owned()], minutes))
        }
        _ => bail!(
            "{} is no target; there are {}",
            names.join(" "),
            all.join(", ")
        ),
    }
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    eprintln!("building the targets (usually 10 to 20 minutes the first time)");
    let host = host_triple()?;
    let folder = workspace.root().join("target/fuzz");
    // With a target of its own, what runs during the build is not instrumented.
    let mut cargo = workspace.cargo(&["build", "--profile", "fuzz", "--target", &host]);
    cargo.args(["--package", "redrive-fuzz", "--features", "libfuzzer"]);
    cargo
        .env("CARGO_TARGET_DIR", &folder)
        .env("RUSTFLAGS", INSTRUMENTATION.join(" "))
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    process::run(&mut cargo)?;
    Ok(folder.join(host).join("fuzz/redrive-fuzz"))
}

fn host_triple() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output();
    let output = output.context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}

fn fuzz(workspace: &Workspace, program: &Path, target: &str, minutes: u64) -> Result<Outcome> {
    let folder = workspace.root().join("target/fuzz");
    let (learned, scratch) = (folder.join("corpus").join(target), folder.join("scratch"));
    fs::create_dir_all(&learned)?;
    // The fuzzer ends without leaving its stores in order.
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch)?;
    let dictionary = folder.join(format!("{target}.dict"));
    fs::write(&dictionary, words(workspace, target)?)?;
    let mut fuzzer = Command::new(program);
    fuzzer.current_dir(workspace.root());
    fuzzer.env("REDRIVE_FUZZ_TARGET", target);
    fuzzer.env("TMPDIR", &scratch);
    fuzzer.args(LIMITS);
    fuzzer.arg("-print_final_stats=1");
    fuzzer.arg(format!("-max_total_time={}", minutes * 60));
    fuzzer.arg(format!("-dict={}", dictionary.display()));
    fuzzer.arg(format!("-artifact_prefix={CORPUS}/{target}/found-"));
    fuzzer.arg(learned).arg(format!("{CORPUS}/{target}"));
    fuzzer.args(of_target(&FURTHER_INPUTS, target));
    let log = File::create(folder.join(format!("{target}.log")))?;
    eprintln!("fuzzing {target} for {minutes} minutes");
    let outcome = watch(&mut fuzzer, log);
    let _ = fs::remove_dir_all(&scratch);
    outcome
}

/// Everything goes to the log; what tells of progress alone is not shown.
fn watch(fuzzer: &mut Command, mut log: File) -> Result<Outcome> {
    let mut child = fuzzer
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the fuzzer")?;
    let mut outcome = Outcome::default();
    let output = child.stderr.take().context("the fuzzer has no output")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(log, "{line}")?;
        outcome.read(&line);
        if !["NEW", "REDUCE", "RELOAD", "DE: "]
            .iter()
            .any(|word| line.contains(word))
        {
            eprintln!("{line}");
        }
    }
    // How it ends says the same as what it leaves behind.
    child.wait().context("the fuzzer is lost")?;
    ensure!(outcome.executions > 0, "the fuzzer did not run; see above");
    Ok(outcome)
}

impl Outcome {
    /// `#2048 pulse cov: 913 ft: 2401 corp: 210/31Kb …` and `stat::number_of_executed_units: 2048`.
    fn read(&mut self, line: &str) {
        let after = |mark: &str| {
            let (_, after) = line.split_once(mark)?;
            let digits = after.trim_start().split(|c: char| !c.is_ascii_digit());
            digits.into_iter().next()?.parse().ok()
        };
        let into = |place: &mut u64, number: Option<u64>| *place = number.unwrap_or(*place);
        into(
            &mut self.executions,
            after("stat::number_of_executed_units:"),
        );
        if line.starts_with('#') {
            into(&mut self.coverage, after(" cov: "));
            into(&mut self.inputs, after(" corp: "));
        }
    }
}

/// libFuzzer's dictionary: the names that the source spells out.
fn words(workspace: &Workspace, target: &str) -> Result<String> {
    let mut words = BTreeSet::new();
    for folder in of_target(&WORDS, target) {
        add_words(&workspace.root().join(folder), &mut words)?;
    }
    let entries: Vec<String> = words.iter().map(|word| format!("\"{word}\"\n")).collect();
    Ok(entries.concat())
}

fn add_words(folder: &Path, words: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            add_words(&path, words)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            let quoted = text
                .split('"')
                .filter(|word| (3..=64).contains(&word.len()));
            words.extend(
                quoted
                    .filter(|word| word.chars().all(is_name))
                    .map(str::to_owned),
            );
        }
    }
    Ok(())
}

fn of_target<'a>(table: &'a [(&str, &'a str)], target: &str) -> impl Iterator<Item = &'a str> {
    let rows = table.iter().filter(move |(name, _)| *name == target);
    rows.map(|(_, value)| *value)
}

/// What runs left in the corpus of a target because it breaks a promise.
fn found(workspace: &Workspace, target: &str) -> Result<BTreeSet<PathBuf>> {
    let folder = Path::new(CORPUS).join(target);
    let entries = fs::read_dir(workspace.root().join(&folder))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let found = names.filter(|name| name.starts_with("found-"));
    Ok(found.map(|name| folder.join(name)).collect())
}

fn line(target: &str, minutes: u64, outcome: &Outcome, new: &[PathBuf]) -> String {
    let Outcome {
        executions,
        coverage,
        inputs,
    } = outcome;
    let findings = if new.is_empty() {
        "nothing found".to_owned()
    } else {
        let names: Vec<_> = new.iter().map(|path| path.display().to_string()).collect();
        format!("FOUND {}", names.join(" "))
    };
    format!(
        "{target:<14} {minutes} min, {executions} executions, coverage {coverage}, {inputs} inputs, {findings}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_target_or_all_are_chosen() {
        let all = ["dialects", "wire"].map(str::to_owned);
        let check = |arguments: &[&str], expected: Option<(&[&str], u64)>| {
            let chosen = chosen(&all, arguments).ok();
            let expected = expected.map(|(names, minutes)| {
                (
                    names.iter().map(|name| (*name).to_owned()).collect(),
                    minutes,
                )
            });
            assert_eq!(chosen, expected, "{arguments:?}");
        };
        check(&[], Some((&["dialects", "wire"], MINUTES)));
        check(&["wire", "--minutes", "2"], Some((&["wire"], 2)));
        check(&["--minutes", "0"], None);
        check(&["--minutes"], None);
        check(&["cookies"], None);
    }

    #[test]
    fn the_figures_are_those_of_the_last_lines() {
        let mut outcome = Outcome::default();
        for line in [
            "INFO: seed corpus: files: 31 min: 1b max: 900b total: 9Kb rss: 40Mb",
            "#32 INITED cov: 800 ft: 900 corp: 30/9Kb exec/s: 0 rss: 44Mb",
            "#2048 pulse  cov: 913 ft: 2401 corp: 210/31Kb lim: 900 exec/s: 1024 rss: 50Mb",
            "stat::number_of_executed_units: 4096",
        ] {
            outcome.read(line);
        }
        let expected = Outcome {
            executions: 4096,
            coverage: 913,
            inputs: 210,
        };
        assert_eq!(outcome, expected);
    }

    #[test]
    fn the_tables_name_targets_and_folders_that_exist() {
        let workspace = Workspace::find().unwrap();
        let targets = all_targets(&workspace).unwrap();
        for (target, folder) in FURTHER_INPUTS.iter().chain(&WORDS) {
            assert!(targets.iter().any(|known| known == target), "{target}");
            assert!(workspace.root().join(folder).is_dir(), "{folder}");
        }
        let of_dialects = words(&workspace, "dialects").unwrap();
        assert!(of_dialects.contains("\"x-death\"\n"), "{of_dialects}");
    }
}
