//! What promtool says about the exposition.

use redrive::metrics::Format;

use crate::support::exposition::{HOSTILE, MovingMetrics};
use crate::support::prometheus::promtool;

#[test]
fn promtool_finds_nothing_to_say_about_the_exposition() {
    let metrics = MovingMetrics::new();
    metrics.advance();
    let text = metrics.text();
    let answer = promtool(&["check", "metrics"], &text);
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(answer.status.success() && said.is_empty(), "{said}\n{text}");
}

/// promtool reads the text format only, in which the lines are the same.
#[test]
fn openmetrics_says_the_same_as_the_text_format() {
    let metrics = MovingMetrics::new();
    let (text, openmetrics) = (
        metrics.rendered(Format::Text),
        metrics.rendered(Format::OpenMetrics),
    );
    let lines = |text: &str| -> Vec<String> {
        let series = text.lines().filter(|line| !line.starts_with('#'));
        // The process itself moves on between the two.
        let moves = |line: &&str| line.starts_with("process_");
        series
            .filter(|line| !moves(line))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(lines(&text), lines(&openmetrics));
    assert!(openmetrics.ends_with("\n# EOF\n"));
    assert_eq!(openmetrics.matches("# EOF").count(), 1);
}

#[test]
fn a_hostile_name_stays_inside_its_label() {
    let metrics = MovingMetrics::new();
    let text = metrics.text();
    assert!(HOSTILE.contains("evil_metric"));
    assert!(text.contains("evil_metric"), "the group is there");
    assert!(
        !text.lines().any(|line| line.starts_with("evil_metric")),
        "{text}"
    );
    assert!(!text.contains('\u{0}') && !text.contains('\u{1b}'));
}

#[test]
fn every_series_has_its_help_and_type() {
    let text = MovingMetrics::new().text();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .filter(|family| text.contains(&format!("# TYPE {family} histogram\n")))
            .unwrap_or(name);
        assert!(text.contains(&format!("# HELP {family} ")), "{line}");
        assert_eq!(
            text.matches(&format!("# TYPE {family} ")).count(),
            1,
            "{line}"
        );
    }
}
