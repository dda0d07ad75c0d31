//! Runs every input of the corpus through its target: what a fuzzer once found stays found.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use redrive_fuzz::{TARGETS, Target};

/// What a clone of the repository can carry.
const MOST_FILES: usize = 300;
const MOST_BYTES: u64 = 300 * 1024;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).collect()
}

/// Every input of a target, its own and those that others need as well.
fn inputs(target: &Target) -> BTreeSet<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let others = target.also_reads.iter().map(|folder| root.join(folder));
    let folders = std::iter::once(corpus().join(target.name)).chain(others);
    folders.flat_map(|folder| files(&folder)).collect()
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let inputs = inputs(target);
    assert!(inputs.len() > 10, "{name} has {} inputs", inputs.len());
    for input in inputs {
        let bytes = fs::read(&input).unwrap();
        let outcome = std::panic::catch_unwind(|| (target.run)(&bytes));
        assert!(outcome.is_ok(), "{} breaks a promise", input.display());
    }
}

#[test]
fn dialects_read_what_anybody_wrote() {
    replay("dialects");
}

#[test]
fn filters_find_what_they_say() {
    replay("filters");
}

#[test]
fn pages_show_what_anybody_wrote() {
    replay("rendering");
}

#[test]
fn imports_do_what_their_dry_run_says() {
    replay("imports");
}

#[test]
fn answers_of_brokers_take_bounded_memory() {
    replay("wire");
}

#[test]
fn configurations_are_read_or_refused() {
    replay("configuration");
}

#[test]
fn the_corpus_is_small_and_has_a_folder_for_each_target() {
    let folders = fs::read_dir(corpus()).unwrap();
    let folders: BTreeSet<PathBuf> = folders.map(|entry| entry.unwrap().path()).collect();
    let expected = TARGETS.iter().map(|target| corpus().join(target.name));
    assert_eq!(folders, expected.collect());
    let all: Vec<PathBuf> = folders.iter().flat_map(|folder| files(folder)).collect();
    let size: u64 = all
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    assert!(all.len() < MOST_FILES, "{} files", all.len());
    assert!(size < MOST_BYTES, "{size} bytes");
}
