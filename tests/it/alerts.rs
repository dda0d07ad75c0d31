//! The shipped alert rules, by promtool's own unit tests.

use std::fs;
use std::path::PathBuf;

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
    assert_eq!(files.len(), 4, "{files:?}");
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
        }
    }
}

#[test]
fn every_alert_tells_people_what_to_do() {
    for file in rule_files() {
        let rules = text_of(&file);
        let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
        for alert in alerts {
            for part in ["severity: ", "summary: ", "description: >-"] {
                assert!(alert.contains(part), "{file}: {alert} has no {part}");
            }
        }
    }
}
