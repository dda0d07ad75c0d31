use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::sections::at_least_a_second;
use super::{ConfigError, HumanDuration, Secret};

/// `[prometheus]`: the Prometheus that has the alert rules loaded, for the Alerts page.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PrometheusConfig {
    /// `http://prometheus:9090`, or the path below which its API is; user and password if it asks for
    /// them. Never shown. Without it the page shows the rules alone.
    pub url: Option<Secret>,
    /// Between two questions.
    pub interval: HumanDuration,
}

impl Default for PrometheusConfig {
    fn default() -> Self {
        Self {
            url: None,
            interval: HumanDuration::from_secs(15),
        }
    }
}

impl PrometheusConfig {
    /// Where its alert rules are; `None` if no Prometheus is configured.
    pub fn rules_url(&self) -> Option<Url> {
        let mut url = Url::parse(self.url.as_ref()?.expose()).ok()?;
        let path = format!("{}/api/v1/rules", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url.set_query(Some("type=alert"));
        Some(url)
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let is_web = |secret: &Secret| {
            Url::parse(secret.expose())
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        };
        if self.url.as_ref().is_some_and(|url| !is_web(url)) {
            return Err(ConfigError::invalid(
                "prometheus.url",
                "is no URL that begins with http:// or https://, for example http://prometheus:9090",
            ));
        }
        at_least_a_second("prometheus.interval", self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn its_rules_lie_below_its_url() {
        let check = |url: &str, expected: &str| {
            let text = format!("[prometheus]\nurl = '{url}'");
            let config = Config::parse(&text, []).unwrap();
            assert_eq!(config.prometheus.rules_url().unwrap().as_str(), expected);
        };
        check("http://p:9090", "http://p:9090/api/v1/rules?type=alert");
        check(
            "https://u:hush@p/prometheus/",
            "https://u:hush@p/prometheus/api/v1/rules?type=alert",
        );
        assert!(
            Config::parse("", [])
                .unwrap()
                .prometheus
                .rules_url()
                .is_none()
        );
    }

    #[test]
    fn mistakes_name_the_key_and_no_password() {
        let check = |text: &str, expected: &str| {
            let error = Config::parse(text, []).unwrap_err().to_string();
            assert!(
                error.contains(expected) && !error.contains("hush"),
                "{error}"
            );
        };
        check("[prometheus]\nurl = 'amqp://u:hush@p'", "prometheus.url");
        check("[prometheus]\nurl = 'u:hush@p'", "prometheus.url");
        check("[prometheus]\ninterval = '0s'", "prometheus.interval");
        let config = Config::parse("[prometheus]\nurl = 'http://u:hush@p'", []).unwrap();
        assert!(!format!("{config:?}").contains("hush"));
    }
}
