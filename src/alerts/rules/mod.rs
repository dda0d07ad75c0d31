//! The definitions, one file each.

mod dead_letters;
mod events;
mod kafka;
mod rabbitmq;
mod redrive;

use std::collections::BTreeSet;

use super::rule::RuleFile;

const FILES: [RuleFile; 5] = [
    kafka::FILE,
    rabbitmq::FILE,
    events::FILE,
    dead_letters::FILE,
    redrive::FILE,
];

/// All rules, file by file.
pub fn rule_files() -> &'static [RuleFile] {
    &FILES
}

/// The name of every alert, once, in the order of the files.
pub fn alert_names() -> Vec<&'static str> {
    let mut known = BTreeSet::new();
    let rules = FILES.iter().flat_map(|file| file.rules);
    let names = rules.map(|rule| rule.name);
    names.filter(|name| known.insert(*name)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::alerts::{AlertRule, RunbookBase, SETTINGS, Thresholds, write_file};

    #[test]
    fn what_is_shipped_is_what_the_command_writes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts");
        for file in rule_files() {
            let shipped = std::fs::read_to_string(folder.join(file.name)).unwrap();
            let written = write_file(file, &Thresholds::default(), &RunbookBase::default());
            assert!(
                shipped == written,
                "alerts/{} is out of step: run `redrive alerts --output alerts`",
                file.name
            );
        }
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path());
        assert_eq!(files.filter(|path| path.is_file()).count(), FILES.len());
    }

    #[test]
    fn every_placeholder_is_a_setting_and_every_setting_is_used() {
        let rules = FILES.iter().flat_map(|file| file.rules);
        let used: BTreeSet<_> = rules.flat_map(AlertRule::settings).collect();
        assert_eq!(used, SETTINGS.iter().map(|setting| setting.name).collect());
    }

    #[test]
    fn every_setting_names_the_alerts_that_it_changes() {
        for setting in SETTINGS
            .iter()
            .filter(|setting| setting.name != "keep-firing")
        {
            let rules = FILES.iter().flat_map(|file| file.rules);
            let concerned = rules.filter(|rule| rule.settings().contains(&setting.name));
            let named: BTreeSet<_> = setting.help.split([' ', ',', ':']).collect();
            for rule in concerned {
                assert!(
                    named.contains(rule.name),
                    "--{} says nothing of {}",
                    setting.name,
                    rule.name
                );
            }
        }
    }

    #[test]
    fn another_threshold_changes_the_rule_and_what_it_says() {
        let mut thresholds = Thresholds::default();
        for (name, value) in [("lag", "50000"), ("lag-for", "0s"), ("keep-firing", "0s")] {
            thresholds.set(name, value).unwrap();
        }
        let base = RunbookBase::parse("https://redrive.example/alerts").unwrap();
        let text = write_file(&FILES[0], &thresholds, &base);
        assert!(
            text.contains("redrive alerts --keep-firing 0ms --lag 50000 --lag-for 0ms"),
            "{text}"
        );
        assert!(
            text.contains("(kafka_consumer_group_lag{cluster!=\"\"}) > 50000\n        labels:")
        );
        assert!(text.contains("more than 50,000"));
        assert!(!text.contains("keep_firing_for"));
        assert!(
            text.contains("runbook_url: \"https://redrive.example/alerts/KafkaMessagesLost.md\"")
        );
    }
}
