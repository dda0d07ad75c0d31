use std::fmt::Write as _;

use super::settings::{Thresholds, Use};

/// Who is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Somebody looks at it in working hours.
    Warning,
    /// Somebody is woken.
    Critical,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How long a condition must hold, and whether a short gap ends the alert.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hold {
    /// At once. These conditions look back over a window, which is their memory.
    AtOnce,
    /// After the setting of this name. A gap that is shorter than `keep-firing`, for example a restart of
    /// Redrive, does not end the alert.
    For(&'static str),
    /// The same, and a gap ends it.
    ForWhile(&'static str),
}

/// A rule with `<setting>` where a threshold stands.
#[derive(Debug)]
pub struct AlertRule {
    pub name: &'static str,
    pub severity: Severity,
    pub(super) hold: Hold,
    /// Why the expression is as it is: a comment in the file; empty if it speaks for itself.
    pub(super) why: &'static str,
    pub(super) expression: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
}

/// A file of rules, which are one group.
#[derive(Debug)]
pub struct RuleFile {
    /// In `alerts/`, for example `kafka.yml`.
    pub name: &'static str,
    pub group: &'static str,
    /// What the rules are about.
    pub(super) about: &'static str,
    pub rules: &'static [AlertRule],
}

impl AlertRule {
    /// The `PromQL` expression, on as many lines as it is defined.
    pub fn expression(&self, thresholds: &Thresholds) -> String {
        fill(&unindented(self.expression), thresholds, Use::Expression)
    }

    /// How long the condition must hold; `None` for an alert that fires at once.
    pub fn pending_for(&self, thresholds: &Thresholds) -> Option<String> {
        match self.hold {
            Hold::AtOnce => None,
            Hold::For(setting) | Hold::ForWhile(setting) => thresholds.hold(setting),
        }
    }

    pub(super) fn keep_firing_for(&self, thresholds: &Thresholds) -> Option<String> {
        match self.hold {
            Hold::For(_) => thresholds.hold("keep-firing"),
            Hold::AtOnce | Hold::ForWhile(_) => None,
        }
    }

    pub(super) fn summary(&self, thresholds: &Thresholds) -> String {
        fill(self.summary, thresholds, Use::Prose)
    }

    pub(super) fn description(&self, thresholds: &Thresholds) -> String {
        fill(self.description, thresholds, Use::Prose)
    }

    /// The settings that this rule depends on.
    #[cfg(test)]
    pub(super) fn settings(&self) -> Vec<&'static str> {
        let texts = [self.expression, self.summary, self.description];
        let mut names: Vec<&str> = texts.into_iter().flat_map(placeholders).collect();
        match self.hold {
            Hold::AtOnce => {}
            Hold::ForWhile(setting) => names.push(setting),
            Hold::For(setting) => names.extend([setting, "keep-firing"]),
        }
        let name = |placeholder: &'static str| match placeholder.split_once(':') {
            Some((name, _)) => name,
            None => placeholder,
        };
        names.into_iter().map(name).collect()
    }
}

/// `text` with every `<setting>` and `<setting:seconds>` replaced. `PromQL` writes blanks around its `<`.
fn fill(text: &str, thresholds: &Thresholds, purpose: Use) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, placeholder, after)) = next_placeholder(rest) {
        filled.push_str(before);
        filled.push_str(&thresholds.written(placeholder, purpose));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
fn placeholders(text: &'static str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, placeholder, after)) = next_placeholder(rest) {
        found.push(placeholder);
        rest = after;
    }
    found
}

/// What stands before, in and behind the first placeholder.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let is_name = |name: &str| {
        let mut characters = name.chars();
        characters.all(|c| c.is_ascii_lowercase() || c == '-' || c == ':') && !name.is_empty()
    };
    text.match_indices('<').find_map(|(start, _)| {
        let (name, after) = text[start + 1..].split_once('>')?;
        is_name(name).then_some((&text[..start], name, after))
    })
}

/// A text of several lines without the indentation that all of them share.
fn unindented(text: &str) -> String {
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let shared = lines().map(indentation).min().unwrap_or(0);
    let mut unindented = String::new();
    for (index, line) in lines().enumerate() {
        let separator = if index == 0 { "" } else { "\n" };
        // Writing to a string cannot fail.
        let _ = write!(unindented, "{separator}{}", &line[shared..]);
    }
    unindented
}
