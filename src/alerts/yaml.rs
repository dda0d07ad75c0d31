//! Rules as YAML for Prometheus, and as a person would write it.

use std::fmt::Write as _;

use super::rule::{AlertRule, RuleFile};
use super::rules::rule_files;
use super::runbooks::RunbookBase;
use super::settings::Thresholds;

/// Longer lines of prose are broken.
const WIDTH: usize = 110;

/// One rule file.
pub fn write_file(file: &RuleFile, thresholds: &Thresholds, runbooks: &RunbookBase) -> String {
    let options = thresholds.options();
    let mut text = String::new();
    comment(&mut text, "", file.about);
    let head = format!(
        "Written by `redrive alerts{options}`. Unit tests of the defaults: alerts/tests/{} (promtool test rules).",
        file.name
    );
    comment(&mut text, "", &head);
    text.push_str("groups:\n");
    write_group(&mut text, file, thresholds, runbooks);
    text
}

/// All rules in one file.
pub fn all_in_one(thresholds: &Thresholds, runbooks: &RunbookBase) -> String {
    let mut text = String::new();
    comment(
        &mut text,
        "",
        &format!("Written by `redrive alerts{}`.", thresholds.options()),
    );
    text.push_str("groups:\n");
    for (index, file) in rule_files().iter().enumerate() {
        let separator = if index == 0 { "" } else { "\n" };
        text.push_str(separator);
        comment(&mut text, "  ", file.about);
        write_group(&mut text, file, thresholds, runbooks);
    }
    text
}

fn write_group(text: &mut String, file: &RuleFile, thresholds: &Thresholds, base: &RunbookBase) {
    let _ = writeln!(text, "  - name: {}\n    rules:", file.group);
    for (index, rule) in file.rules.iter().enumerate() {
        let separator = if index == 0 { "" } else { "\n" };
        text.push_str(separator);
        write_rule(text, rule, thresholds, base);
    }
}

fn write_rule(text: &mut String, rule: &AlertRule, thresholds: &Thresholds, base: &RunbookBase) {
    let _ = writeln!(text, "      - alert: {}", rule.name);
    comment(text, "        ", rule.why);
    let expression = rule.expression(thresholds);
    if expression.contains('\n') {
        text.push_str("        expr: |-\n");
        for line in expression.lines() {
            let _ = writeln!(text, "          {line}");
        }
    } else {
        let _ = writeln!(text, "        expr: {expression}");
    }
    if let Some(pending) = rule.pending_for(thresholds) {
        let _ = writeln!(text, "        for: {pending}");
    }
    if let Some(kept) = rule.keep_firing_for(thresholds) {
        let _ = writeln!(text, "        keep_firing_for: {kept}");
    }
    let _ = writeln!(
        text,
        "        labels:\n          severity: {}",
        rule.severity.as_str()
    );
    let summary = quoted(&rule.summary(thresholds));
    let _ = writeln!(text, "        annotations:\n          summary: {summary}");
    text.push_str("          description: >-\n");
    for line in wrapped(&rule.description(thresholds), WIDTH) {
        let _ = writeln!(text, "            {line}");
    }
    let _ = writeln!(
        text,
        "          runbook_url: {}",
        quoted(&base.url(rule.name))
    );
}

fn comment(text: &mut String, indentation: &str, why: &str) {
    for line in wrapped(why, WIDTH) {
        let _ = writeln!(text, "{indentation}# {line}");
    }
}

/// A YAML scalar in double quotes; what we write has no other special characters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Lines of whole words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
