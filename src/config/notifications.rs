use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::sections::at_least_a_second;
use super::{ConfigError, HumanDuration, Secret};

/// A shorter secret can be guessed.
const SHORTEST_SECRET: usize = 16;

/// `[[notifications]]`: a webhook that is told of failure groups that are new or came back.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotificationConfig {
    /// What it is called on Status, in metrics and in the log; without it, the host of the URL.
    #[serde(default)]
    name: Option<String>,
    /// Where messages are posted. Never shown: the URL of a Slack webhook is a password.
    pub url: Secret,
    /// Redrive's own JSON as a Standard Webhook, or what Slack, Mattermost and Rocket.Chat take.
    #[serde(default)]
    pub kind: NotificationKind,
    /// Signs each message (HMAC-SHA256); needed for `generic`. `whsec_…` is read as base64, as the
    /// libraries of Standard Webhooks do, everything else as it stands.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// At most so many messages are sent within `window`; the last of them tells all that waits.
    #[serde(default = "default_limit")]
    pub limit: u32,
    /// The time for which `limit` counts.
    #[serde(default = "default_window")]
    pub window: HumanDuration,
}

/// The form of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NotificationKind {
    /// Redrive's own JSON.
    #[default]
    Generic,
    /// What Slack's incoming webhooks take, and those of Mattermost and Rocket.Chat.
    Slack,
}

const fn default_limit() -> u32 {
    10
}

const fn default_window() -> HumanDuration {
    HumanDuration::from_secs(600)
}

impl NotificationConfig {
    /// The configured name, or the host of the URL.
    pub fn name(&self) -> String {
        let host = || Some(Url::parse(self.url.expose()).ok()?.host_str()?.to_owned());
        self.name.clone().or_else(host).unwrap_or_default()
    }

    /// The bytes with which a message is signed.
    pub fn signing_key(&self) -> Option<Vec<u8>> {
        let secret = self.secret.as_ref()?.expose();
        match secret.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).ok(),
            None => Some(secret.as_bytes().to_vec()),
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let url = Url::parse(self.url.expose());
        let is_web = url.is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !is_web {
            return Err(ConfigError::invalid(
                "notifications.url",
                "is no URL that begins with http:// or https://",
            ));
        }
        self.validate_secret()?;
        if !(1..=1_000).contains(&self.limit) {
            return Err(ConfigError::invalid(
                "notifications.limit",
                "must lie between 1 and 1000 messages",
            ));
        }
        at_least_a_second("notifications.window", self.window)
    }

    fn validate_secret(&self) -> Result<(), ConfigError> {
        let invalid = |problem: String| Err(ConfigError::invalid("notifications.secret", problem));
        match (&self.secret, self.signing_key()) {
            (None, _) if self.kind == NotificationKind::Generic => invalid(
                "is missing: a generic message is signed with it, and the receiver checks that"
                    .to_owned(),
            ),
            (Some(_), None) => invalid("is no base64 after whsec_".to_owned()),
            (_, Some(key)) if key.len() < SHORTEST_SECRET => {
                invalid(format!("must have at least {SHORTEST_SECRET} bytes"))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn validate(notifications: &[NotificationConfig]) -> Result<(), ConfigError> {
    let mut names = HashSet::new();
    for notification in notifications {
        notification.validate()?;
        let name = notification.name();
        if !names.insert(name.clone()) {
            return Err(ConfigError::invalid(
                "notifications.name",
                format!("{name:?} names two of them; give each its own name"),
            ));
        }
    }
    Ok(())
}

/// `http.public_url`, under which links in messages lead to the dashboard.
pub(super) fn validate_public_url(url: Option<&str>) -> Result<(), ConfigError> {
    let is_web = |text: &str| {
        Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    };
    match url {
        Some(text) if !is_web(text) => Err(ConfigError::invalid(
            "http.public_url",
            format!("{text:?} is no URL such as https://redrive.example"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, NotificationConfig};

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, []).map_err(|error| error.to_string())
    }

    #[test]
    fn a_webhook_is_named_after_its_host_unless_told_otherwise() {
        let text = "[[notifications]]\nurl = 'https://hooks.slack.com/services/T0/B0/x'\n\
                    kind = 'slack'\n[[notifications]]\nname = 'pager'\n\
                    url = 'http://pager.example/hook'\nsecret = 'sixteen characters'";
        let config = parse(text).unwrap();
        let names: Vec<_> = config
            .notifications
            .iter()
            .map(NotificationConfig::name)
            .collect();
        assert_eq!(names, ["hooks.slack.com", "pager"]);
    }

    #[test]
    fn mistakes_name_the_key_and_never_the_secret() {
        let check = |text: &str, expected: &str| {
            let error = parse(&format!("[[notifications]]\n{text}")).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("hush"), "{text}: {error}");
        };
        let generic = "url = 'https://a.example/hush'";
        check("kind = 'slack'", "url");
        check(generic, "notifications.secret: is missing");
        check(&format!("{generic}\nsecret = 'hush'"), "at least 16");
        check(
            &format!("{generic}\nsecret = 'whsec_aHVzaA=='"),
            "at least 16",
        );
        check(&format!("{generic}\nsecret = 'whsec_hush!'"), "no base64");
        check("kind = 'slack'\nurl = 'ftp://hush'", "notifications.url");
        check("kind = 'slack'\nurl = 'hush'", "notifications.url");
        check("kind = 'teams'\nurl = 'https://a.example'", "teams");
        let slack = format!("kind = 'slack'\n{generic}");
        check(&format!("{slack}\nlimit = 0"), "notifications.limit");
        check(&format!("{slack}\nwindow = '1ms'"), "notifications.window");
        check(&format!("{slack}\n[[notifications]]\n{slack}"), "names two");
        let error = parse("[http]\npublic_url = 'redrive.example'").unwrap_err();
        assert!(error.contains("http.public_url"), "{error}");
    }

    #[test]
    fn neither_url_nor_secret_is_printed() {
        let text =
            "[[notifications]]\nurl = 'https://a.example/hush'\nsecret = 'hush, and long enough'";
        assert!(!format!("{:?}", parse(text).unwrap()).contains("hush"));
    }
}
