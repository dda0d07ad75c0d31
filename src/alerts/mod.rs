//! The alert rules: what is shipped in `alerts/`, the same for other thresholds, their runbooks, and what
//! a Prometheus says about them.
//!
//! A rule is defined once, in `rules/`, with `<setting>` where a threshold of [`settings`] stands.
//! `alerts/*.yml` is what `redrive alerts` writes without options; a test keeps the two in step. To add a
//! rule: define it in its file under `rules/`, write `docs/runbooks/NAME.md` and its cases in
//! `alerts/tests/` (firing, quiet, flapping), then run `redrive alerts --output alerts`.

mod overview;
mod reader;
mod rule;
mod rules;
mod runbooks;
mod settings;
mod yaml;

pub use overview::{AlertOverview, alert_overviews};
pub use reader::{
    AlertBoard, AlertState, FiringAlert, LoadedRule, PrometheusAnswer, PrometheusView, follow,
};
pub use rule::{AlertRule, RuleFile, Severity};
pub use rules::{alert_names, rule_files};
pub use runbooks::{Block, Runbook, RunbookBase, Span};
pub use settings::{SETTINGS, Setting, ThresholdError, Thresholds};
pub use yaml::{all_in_one, write_file};
