//! The shipped alert rules, by promtool's own unit tests.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::prometheus::{promtool, root};

fn rule_files() -> Vec<String> {
    let folder = fs::read_dir(root().join("alerts")).expect("the rules are there");
    let paths = folder.map(|entry| entry.expect("readable").path());
    let files = paths.filter(|path| path.is_file());
    let name = |path: PathBuf| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    files.filter_map(name).collect()
}

fn text_of(path: &str) -> String {
    let path: PathBuf = root().join("alerts").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_rule_file_is_valid_and_passes_its_tests() {
    let files = rule_files();
    assert_eq!(files.len(), 5, "{files:?}");
    for file in files {
        for arguments in [
            ["check", "rules", &format!("alerts/{file}")],
            ["test", "rules", &format!("alerts/tests/{file}")],
        ] {
            let answer = promtool(&arguments, "");
            let said = [answer.stdout, answer.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            assert!(answer.status.success(), "{file}: {said}");
        }
    }
}

#[test]
fn every_alert_is_shown_firing_and_staying_quiet() {
    for file in rule_files() {
        let rules = text_of(&file);
        let tests = text_of(&format!("tests/{file}"));
        let expectations: Vec<&str> = tests.split("alertname: ").skip(1).collect();
        let alerts = rules
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- alert: "));
        for alert in alerts {
            let of_alert = |expectation: &&&str| {
                let mut lines = expectation.lines();
                lines.next() == Some(alert)
            };
            let quiet = |expectation: &&str| expectation.contains("exp_alerts: []");
            let (quiet, firing): (Vec<&str>, Vec<&str>) = expectations
                .iter()
                .filter(of_alert)
                .copied()
                .partition(quiet);
            assert!(!quiet.is_empty(), "{file}: no test keeps {alert} quiet");
            assert!(!firing.is_empty(), "{file}: no test lets {alert} fire");
            // In these a naive rule is evaluated beside it, which errs.
            let flapping = |case: &&str| {
                let of_alert = case.contains(&format!("alertname: {alert}\n"));
                case.starts_with("flapping: ") && of_alert && case.contains("promql_expr_test:")
            };
            let mut cases = tests.split("  - name: \"");
            assert!(
                cases.any(|case| flapping(&case)),
                "{file}: {alert} is in no flapping case"
            );
        }
    }
}

#[test]
fn every_alert_tells_people_what_to_do() {
    for file in rule_files() {
        let rules = text_of(&file);
        let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
        for alert in alerts {
            for part in [
                "severity: ",
                "summary: ",
                "description: >-",
                "runbook_url: ",
            ] {
                assert!(alert.contains(part), "{file}: {alert} has no {part}");
            }
        }
    }
}

fn redrive_alerts(options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redrive"));
    command.arg("alerts").args(options).output().unwrap()
}

#[test]
fn rules_for_other_thresholds_are_valid_too() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("made/by/the/command");
    let options = [
        ["--lag", "50000"],
        ["--time-lag", "90s"],
        ["--headroom", "12.5%"],
        ["--stalled", "1h"],
        ["--lag-for", "0s"],
        ["--keep-firing", "0s"],
        ["--dlq-ratio", "0.005"],
        ["--latency", "500ms"],
        ["--runbooks", "https://redrive.example/alerts"],
        ["--output", output.to_str().unwrap()],
    ];
    let answer = redrive_alerts(options.as_flattened());
    assert!(
        answer.status.success() && answer.stdout.is_empty(),
        "{answer:?}"
    );
    let stdout = redrive_alerts(&["--lag", "50000"]).stdout;
    fs::write(output.join("all-in-one.yml"), stdout).unwrap();
    for file in fs::read_dir(&output).unwrap() {
        let path = file.unwrap().path();
        let answer = promtool(&["check", "rules", path.to_str().unwrap()], "");
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert!(answer.status.success(), "{}: {said}", path.display());
    }
    let all = fs::read_to_string(output.join("all-in-one.yml")).unwrap();
    let shipped: usize = rule_files()
        .iter()
        .map(|file| alerts_in(&text_of(file)))
        .sum();
    assert_eq!(alerts_in(&all), shipped);
    assert!(all.contains("> 50000\n") && !all.contains("> 10000\n"));
}

fn alerts_in(rules: &str) -> usize {
    rules.matches("- alert: ").count()
}

#[test]
fn a_threshold_that_makes_no_rule_is_refused_with_what_is_expected() {
    let check = |options: &[&str], expected: &str| {
        let answer = redrive_alerts(options);
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert!(
            !answer.status.success() && answer.stdout.is_empty(),
            "{options:?}"
        );
        assert!(said.contains(expected), "{options:?}: {said}");
    };
    check(
        &["--lag", "many"],
        "--lag many: expected a whole number of messages",
    );
    check(&["--headroom", "110%"], "--headroom 110%: expected a share");
    check(&["--stalled", "10s"], "between 1m and 365d");
    check(&["--runbooks", "docs"], "expected a URL such as");
    check(
        &["--output", "/proc/nowhere"],
        "cannot make the folder /proc/nowhere",
    );
}
