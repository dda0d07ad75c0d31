//! One line a figure: `name: value unit (goal …): met|missed`.

/// What a figure has to be.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    Below(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::Below(most) => value < most,
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(formatter, "≥ {least}"),
            Self::Below(most) => write!(formatter, "< {most}"),
        }
    }
}

/// Prints a figure; the unit may be empty, as of a ratio.
pub(crate) fn print(name: &str, value: f64, unit: &str, goal: Goal) {
    let verdict = if goal.is_met(value) { "met" } else { "missed" };
    // Bytes are whole, everything else is read to two places.
    let value = if unit == "bytes" {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    };
    let space = if unit.is_empty() { "" } else { " " };
    println!("{name}: {value}{space}{unit} (goal {goal}): {verdict}");
}
