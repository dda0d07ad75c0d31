//! What the user of the management API may see.
//!
//! RabbitMQ leaves out what a user may not see without a word: lists hold only what lies in virtual hosts in which
//! the user has permissions, whatever its tags (seen on 3.10.8), and only the tag `monitoring` names the others
//! and the nodes.

use std::collections::HashSet;

use super::{MANAGEMENT_KEY, listed, shortened};
use crate::domain::{ExchangeSample, VhostName};

/// The user of the management API.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    pub(super) user: String,
    pub(super) tags: Vec<String>,
    /// Those that the API names: with the tag `monitoring` all of the cluster.
    pub(super) vhosts: Vec<VhostName>,
}

/// What the user cannot see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Blindness {
    /// What is to be done, for the status page.
    pub(super) problems: Vec<String>,
    /// Virtual hosts that the user may not enter.
    pub(super) hidden: Option<String>,
}

impl Access {
    /// Every virtual host has exchanges: whose are listed is seen.
    pub(super) fn blindness(&self, exchanges: &[ExchangeSample]) -> Blindness {
        let seen: HashSet<&VhostName> = exchanges.iter().map(|exchange| &exchange.vhost).collect();
        let hidden = self.vhosts.iter().filter(|vhost| !seen.contains(vhost));
        let hidden: Vec<&str> = hidden.map(VhostName::as_str).collect();
        let problems = [self.missing_tag(seen.len()), self.sees_nothing(&seen)];
        Blindness {
            problems: problems.into_iter().flatten().collect(),
            hidden: (!hidden.is_empty()).then(|| {
                let (vhosts, user) = (listed(&hidden), &self.user);
                format!("{vhosts}: the user {user} has no permissions there")
            }),
        }
    }

    fn missing_tag(&self, seen: usize) -> Option<String> {
        let has = |tag: &str| self.tags.iter().any(|has| has == tag);
        if has("monitoring") || has("administrator") {
            return None;
        }
        // The command replaces all tags; monitoring includes management.
        let others = self.tags.iter().filter(|tag| *tag != "management");
        let tags: Vec<String> = others
            .map(|tag| quoted(tag))
            .chain(["monitoring".to_owned()])
            .collect();
        Some(format!(
            "the user {} of {MANAGEMENT_KEY} has not the tag monitoring: RabbitMQ shows it only the virtual hosts in \
             which it has permissions ({seen}), and tells neither whether there are others nor which nodes run; give \
             it the tag with `rabbitmqctl set_user_tags {} {}`",
            self.user,
            quoted(&self.user),
            tags.join(" ")
        ))
    }

    fn sees_nothing(&self, seen: &HashSet<&VhostName>) -> Option<String> {
        let vhost = self.vhosts.first().map_or("VHOST", VhostName::as_str);
        seen.is_empty().then(|| {
            format!(
                "the user {} of {MANAGEMENT_KEY} sees no queue at all, because it has permissions in no virtual host; \
                 give it some with `rabbitmqctl set_permissions -p {} {} '^$' '^$' '^$'`",
                self.user,
                quoted(vhost),
                quoted(&self.user)
            )
        })
    }
}

/// As one word of a shell: people copy these commands, and a broker may name a user as it likes.
fn quoted(word: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "-_.@/".contains(character);
    let word = shortened(word);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word;
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ExchangeName;

    fn blindness(tags: &[&str], vhosts: &[&str], seen: &[&str]) -> Blindness {
        let access = Access {
            user: "redrive".to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            vhosts: vhosts.iter().map(|vhost| VhostName::new(*vhost)).collect(),
        };
        let exchange = |vhost: &&str| ExchangeSample {
            vhost: VhostName::new(*vhost),
            exchange: ExchangeName::default(),
            kind: "direct".to_owned(),
            alternate_exchange: None,
        };
        access.blindness(&seen.iter().map(exchange).collect::<Vec<_>>())
    }

    #[test]
    fn who_sees_everything_is_told_nothing() {
        for tag in ["monitoring", "administrator"] {
            let told = blindness(&["management", tag], &["/", "shop"], &["/", "shop", "/"]);
            assert_eq!(told, Blindness::default(), "{tag}");
        }
    }

    #[test]
    fn a_missing_tag_is_added_to_those_that_are_there() {
        let check = |tags: &[&str], command: &str| {
            let told = blindness(tags, &["/"], &["/"]);
            assert_eq!(told.problems.len(), 1, "{told:?}");
            assert!(told.problems[0].contains(command), "{told:?}");
            assert_eq!(told.hidden, None);
        };
        check(
            &["management"],
            "`rabbitmqctl set_user_tags redrive monitoring`",
        );
        check(
            &["management", "policymaker"],
            "`rabbitmqctl set_user_tags redrive policymaker monitoring`",
        );
        check(&[], "`rabbitmqctl set_user_tags redrive monitoring`");
    }

    #[test]
    fn virtual_hosts_without_permissions_are_named() {
        let told = blindness(&["monitoring"], &["/", "shop", "bank"], &["/"]);
        let hidden = "shop, bank: the user redrive has no permissions there";
        assert_eq!(told.hidden.as_deref(), Some(hidden));
        assert_eq!(told.problems, Vec::<String>::new());

        let told = blindness(&["monitoring"], &["/", "shop"], &[]);
        let command = "`rabbitmqctl set_permissions -p / redrive '^$' '^$' '^$'`";
        assert!(told.problems[0].contains(command), "{told:?}");
    }

    #[test]
    fn a_name_stays_one_word_of_a_shell() {
        assert_eq!(quoted("redrive@shop"), "redrive@shop");
        assert_eq!(quoted("x; rm -rf ~"), "'x; rm -rf ~'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
