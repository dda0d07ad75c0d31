//! What may hold any bytes, as functions of bytes that panic if a promise is broken.
//!
//! `cargo xtask fuzz` gives them to libFuzzer; the test `corpus` runs them over everything in `corpus/`
//! in every ordinary test run. To add an input: a file in the folder of its target, named after what it
//! is. To add a target, rather add to one of these: six take an hour already.

mod allocations;
mod configuration;
mod dialects;
mod filters;
mod html;
mod imports;
mod letters;
mod rendering;
mod site;
mod wire;

/// A target: its name, which is that of its folder in `corpus/`, and what it does with an input.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Folders with further inputs, from the root of the repository.
    pub also_reads: &'static [&'static str],
}

/// What the frameworks themselves wrote.
const RECORDED: &str = "tests/fixtures/dialects/recorded";

pub const TARGETS: [Target; 6] = [
    Target {
        name: "dialects",
        run: dialects::run,
        also_reads: &[RECORDED],
    },
    Target {
        name: "filters",
        run: filters::run,
        also_reads: &[],
    },
    Target {
        name: "rendering",
        run: rendering::run,
        also_reads: &[RECORDED],
    },
    Target {
        name: "imports",
        run: imports::run,
        also_reads: &[],
    },
    Target {
        name: "wire",
        run: wire::run,
        also_reads: &[],
    },
    Target {
        name: "configuration",
        run: configuration::run,
        also_reads: &["docker"],
    },
];
