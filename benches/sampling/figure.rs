//! One line a figure: `name: value unit (goal …): met|missed`.

use std::fmt;

/// What a figure has to be.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtMost(f64),
    Below(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::Below(limit) => value < limit,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(formatter, "≤ {most}"),
            Self::Below(limit) => write!(formatter, "< {limit}"),
        }
    }
}

/// Prints a figure; the unit may be empty, as of a ratio.
pub(crate) fn print(name: &str, value: f64, unit: &str, goal: Goal) {
    let verdict = if goal.is_met(value) { "met" } else { "missed" };
    println!("{name}: {} (goal {goal}): {verdict}", shown(value, unit));
}

/// Prints a ratio with what it was made of.
pub(crate) fn print_ratio(name: &str, (ours, peers): (f64, f64), unit: &str, goal: Goal) {
    let ratio = ours / peers;
    let verdict = if goal.is_met(ratio) { "met" } else { "missed" };
    let (ours, peers) = (shown(ours, unit), shown(peers, unit));
    println!("{name}: {ratio:.3}, {ours} to {peers} (goal {goal}): {verdict}");
}

/// Prints what has no goal.
pub(crate) fn tell(name: &str, value: f64, unit: &str) {
    println!("{name}: {}", shown(value, unit));
}

/// A figure that could not be measured is missed.
pub(crate) fn print_unmeasured(name: &str, reason: &str, goal: Goal) {
    println!("{name}: not measured, {reason} (goal {goal}): missed");
}

/// What is counted is whole.
fn shown(value: f64, unit: &str) -> String {
    let value = match unit {
        "bytes" | "requests" | "series" => format!("{value:.0}"),
        _ => format!("{value:.3}"),
    };
    format!("{value} {unit}").trim_end().to_owned()
}
