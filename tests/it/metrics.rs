//! What promtool says about the exposition.

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
