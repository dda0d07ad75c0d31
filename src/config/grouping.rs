use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::ConfigError;
use crate::domain::{GroupingRule, RuleError};

/// `[grouping]`: failure groups of your own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GroupingConfig {
    /// The first rule that matches decides; the built-in ones come after. A change is for dead letters
    /// that arrive from then on.
    rules: Vec<ConfiguredRule>,
}

/// `[[grouping.rules]]`: one rule.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "RuleFields")]
struct ConfiguredRule(#[schemars(with = "RuleFields")] GroupingRule);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RuleFields {
    /// What the page calls the rule; part of the identity of its groups.
    name: String,
    /// Which dead letters: `source:`, `error:`, `type:`, `consumer:`, `reason:`, `dlq:`, `cluster:`,
    /// `vhost:` and `system:` of the filter language.
    filter: String,
    /// The title of a group, with placeholders such as `{source}`; without it, the name.
    #[serde(default)]
    title: String,
    /// Dead letters whose filled key is the same are one group; without it, all that match are.
    #[serde(default)]
    key: String,
}

impl TryFrom<RuleFields> for ConfiguredRule {
    type Error = String;

    fn try_from(fields: RuleFields) -> Result<Self, String> {
        let named = |error: RuleError| format!("grouping rule {:?}: {error}", fields.name);
        GroupingRule::new(&fields.name, &fields.filter, &fields.title, &fields.key)
            .map(Self)
            .map_err(named)
    }
}

impl GroupingConfig {
    /// In the order in which they are tried.
    pub fn rules(&self) -> impl Iterator<Item = &GroupingRule> {
        self.rules.iter().map(|rule| &rule.0)
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let mut names = HashSet::new();
        match self.rules().find(|rule| !names.insert(rule.name())) {
            Some(rule) => Err(ConfigError::invalid(
                "grouping.rules",
                format!("{:?} names two rules; give each its own name", rule.name()),
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn a_mistake_in_a_rule_names_the_rule_and_the_remedy() {
        let check = |text: &str, expected: &[&str]| {
            let error = Config::parse(text, []).expect_err(text).to_string();
            for part in expected {
                assert!(error.contains(part), "{text}: {error}");
            }
        };
        let rule = "[[grouping.rules]]\nname = 'gateway'\n";
        check(&format!("{rule}filter = 'age:>1h'"), &["gateway", "age"]);
        check(rule, &["filter"]);
        check(
            &format!("{rule}filter = 'source:x'\ncolour = 1"),
            &["colour"],
        );
        let whole = format!("{rule}filter = 'source:x'\n");
        check(&format!("{whole}{whole}"), &["\"gateway\" names two rules"]);
        let config = Config::parse(&whole, []).unwrap();
        assert_eq!(config.grouping.rules().count(), 1);
    }
}
