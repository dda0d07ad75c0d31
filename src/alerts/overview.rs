use super::reader::{AlertState, FiringAlert, LoadedRule, PrometheusAnswer};
use super::rule::Severity;
use super::rules::{alert_names, rule_files};
use super::settings::Thresholds;

/// An alert as it is shipped, and as Prometheus has it.
#[derive(Clone, Debug)]
pub struct AlertOverview {
    pub name: &'static str,
    pub severity: Severity,
    /// How long its condition must hold, as it is shipped; `None` if it fires at once.
    pub pending_for: Option<String>,
    /// As they are shipped. Two brokers may have an alert of the same name.
    pub expressions: Vec<String>,
    /// The rules of this name in Prometheus.
    pub loaded: Vec<LoadedRule>,
}

/// All alerts, in the order of the files.
pub fn alert_overviews(answer: Option<&PrometheusAnswer>) -> Vec<AlertOverview> {
    let defaults = Thresholds::default();
    let overview = |name: &'static str| {
        let files = rule_files().iter().flat_map(|file| file.rules);
        let rules: Vec<_> = files.filter(|rule| rule.name == name).collect();
        let loaded = answer.map_or(&[][..], |answer| &answer.rules).iter();
        AlertOverview {
            name,
            severity: rules
                .first()
                .map_or(Severity::Warning, |rule| rule.severity),
            pending_for: rules.first().and_then(|rule| rule.pending_for(&defaults)),
            expressions: rules
                .iter()
                .map(|rule| rule.expression(&defaults))
                .collect(),
            loaded: loaded.filter(|rule| rule.name == name).cloned().collect(),
        }
    };
    alert_names().into_iter().map(overview).collect()
}

impl AlertOverview {
    /// The worst state of its rules; `None` if Prometheus has none.
    pub fn state(&self) -> Option<AlertState> {
        self.loaded.iter().map(|rule| rule.state).max()
    }

    /// What is pending or fires.
    pub fn alerts(&self) -> impl Iterator<Item = &FiringAlert> {
        self.loaded.iter().flat_map(|rule| &rule.alerts)
    }

    /// How many fire and how many are pending; not all of them may be known.
    pub fn counts(&self) -> (usize, usize) {
        let firing = self.loaded.iter().map(|rule| rule.firing);
        let pending = self.loaded.iter().map(|rule| rule.pending);
        (firing.sum(), pending.sum())
    }

    /// Why Prometheus could not evaluate a rule; empty if it could.
    pub fn problem(&self) -> &str {
        let problems = self.loaded.iter().map(|rule| rule.problem.as_str());
        problems.max_by_key(|problem| problem.len()).unwrap_or("")
    }
}
