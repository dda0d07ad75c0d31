//! How Redrive proves itself to a Kafka cluster, and the cluster to Redrive: `[kafka.tls]` and
//! `[kafka.sasl]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{ConfigError, Secret};

/// `[kafka.tls]`: its presence switches TLS on. PEM files; read again when a connection is opened after
/// an error, so that a renewed certificate needs no restart of the sampler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaTlsConfig {
    /// The authorities that may have signed the brokers' certificates; without it, the system's.
    pub ca_file: Option<PathBuf>,
    /// Redrive's own certificate and those that lead to its authority, where brokers ask for one
    /// (`ssl.client.auth`).
    pub certificate_file: Option<PathBuf>,
    /// Its private key, not encrypted.
    pub key_file: Option<PathBuf>,
}

/// `[kafka.sasl]`: the login.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSaslConfig {
    /// As Kafka calls it.
    pub mechanism: SaslMechanism,
    /// For PLAIN and SCRAM.
    #[serde(default)]
    pub username: Option<String>,
    /// For PLAIN and SCRAM.
    #[serde(default)]
    pub password: Option<Secret>,
    /// For OAUTHBEARER: where tokens come from by the grant "client credentials" (RFC 6749, 4.4).
    #[serde(default)]
    pub token_url: Option<String>,
    /// As whom Redrive asks for a token.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Its secret.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// Sent along with the request for a token where the provider wants one.
    #[serde(default)]
    pub scope: Option<String>,
}

/// A SASL mechanism under the name that Kafka gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum SaslMechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

impl SaslMechanism {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

/// What a login needs, after validation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OauthClient {
    pub token_url: String,
    pub client_id: String,
    pub client_secret: Secret,
    pub scope: Option<String>,
}

impl KafkaTlsConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match (&self.certificate_file, &self.key_file) {
            (Some(_), None) => Err(ConfigError::invalid(
                "kafka.tls.key_file",
                "is missing: the certificate of kafka.tls.certificate_file is of no use without its key",
            )),
            (None, Some(_)) => Err(ConfigError::invalid(
                "kafka.tls.certificate_file",
                "is missing: brokers are shown it together with kafka.tls.key_file",
            )),
            _ => Ok(()),
        }
    }
}

impl KafkaSaslConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match self.mechanism {
            SaslMechanism::OauthBearer => self.validate_oauth(),
            mechanism => self.validate_password(mechanism),
        }
    }

    fn validate_password(&self, mechanism: SaslMechanism) -> Result<(), ConfigError> {
        let name = mechanism.as_str();
        let given = [
            ("kafka.sasl.username", self.username.is_some()),
            ("kafka.sasl.password", self.password.is_some()),
        ];
        all_given(name, &given)?;
        let foreign = [
            ("kafka.sasl.token_url", self.token_url.is_some()),
            ("kafka.sasl.client_id", self.client_id.is_some()),
            ("kafka.sasl.client_secret", self.client_secret.is_some()),
            ("kafka.sasl.scope", self.scope.is_some()),
        ];
        none_given(name, &foreign)?;
        let (username, password) = self.login();
        // PLAIN (RFC 4616) separates the two by a NUL.
        if username.is_empty() || username.contains('\0') || password.contains('\0') {
            return Err(ConfigError::invalid(
                "kafka.sasl.username",
                "must not be empty, and neither it nor the password may hold a NUL",
            ));
        }
        Ok(())
    }

    fn validate_oauth(&self) -> Result<(), ConfigError> {
        let name = self.mechanism.as_str();
        let given = [
            ("kafka.sasl.token_url", self.token_url.is_some()),
            ("kafka.sasl.client_id", self.client_id.is_some()),
            ("kafka.sasl.client_secret", self.client_secret.is_some()),
        ];
        all_given(name, &given)?;
        let foreign = [
            ("kafka.sasl.username", self.username.is_some()),
            ("kafka.sasl.password", self.password.is_some()),
        ];
        none_given(name, &foreign)?;
        let url = self.token_url.as_deref().map(Url::parse);
        let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        match url {
            Some(Ok(url)) if is_web(&url) && url.password().is_none() => Ok(()),
            _ => Err(ConfigError::invalid(
                "kafka.sasl.token_url",
                "is no URL that begins with https:// or http:// (a password belongs in kafka.sasl.client_secret)",
            )),
        }
    }

    /// User name and password of PLAIN and SCRAM.
    pub fn login(&self) -> (&str, &str) {
        let password = self.password.as_ref().map_or("", Secret::expose);
        (self.username.as_deref().unwrap_or_default(), password)
    }

    /// What OAUTHBEARER asks tokens with; `None` for other mechanisms.
    pub fn oauth_client(&self) -> Option<OauthClient> {
        if self.mechanism != SaslMechanism::OauthBearer {
            return None;
        }
        Some(OauthClient {
            token_url: self.token_url.clone()?,
            client_id: self.client_id.clone()?,
            client_secret: self.client_secret.clone()?,
            scope: self.scope.clone(),
        })
    }
}

fn all_given(mechanism: &str, keys: &[(&'static str, bool)]) -> Result<(), ConfigError> {
    match keys.iter().find(|(_, given)| !given) {
        Some((key, _)) => Err(ConfigError::invalid(
            key,
            format!("is missing: kafka.sasl.mechanism {mechanism} needs it"),
        )),
        None => Ok(()),
    }
}

fn none_given(mechanism: &str, keys: &[(&'static str, bool)]) -> Result<(), ConfigError> {
    match keys.iter().find(|(_, given)| *given) {
        Some((key, _)) => Err(ConfigError::invalid(
            key,
            format!("has no meaning for kafka.sasl.mechanism {mechanism}; remove it"),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn refusal(section: &str) -> String {
        let text = format!("[[kafka]]\nname = 'k'\n{section}");
        Config::parse(&text, []).expect_err(section).to_string()
    }

    #[test]
    fn mistakes_name_the_key_and_the_remedy() {
        let check = |section: &str, expected: &str| {
            let error = refusal(section);
            assert!(error.contains(expected), "{section}: {error}");
        };
        check(
            "[kafka.tls]\ncertificate_file = 'a.pem'",
            "kafka.tls.key_file",
        );
        check(
            "[kafka.tls]\nkey_file = 'a.pem'",
            "kafka.tls.certificate_file",
        );
        check(
            "[kafka.sasl]\nmechanism = 'GSSAPI'",
            "expected one of `PLAIN`",
        );
        check(
            "[kafka.sasl]\nmechanism = 'PLAIN'\nusername = 'a'",
            "kafka.sasl.password: is missing",
        );
        check(
            "[kafka.sasl]\nmechanism = 'PLAIN'\nusername = 'a'\npassword = 'b'\nscope = 'c'",
            "kafka.sasl.scope: has no meaning",
        );
        check(
            "[kafka.sasl]\nmechanism = 'SCRAM-SHA-256'\nusername = ''\npassword = 'b'",
            "must not be empty",
        );
        check(
            "[kafka.sasl]\nmechanism = 'OAUTHBEARER'\nclient_id = 'a'\nclient_secret = 'b'",
            "kafka.sasl.token_url: is missing",
        );
        check(
            "[kafka.sasl]\nmechanism = 'OAUTHBEARER'\ntoken_url = 'idp'\nclient_id = 'a'\nclient_secret = 'b'",
            "kafka.sasl.token_url: is no URL",
        );
    }

    #[test]
    fn secrets_of_a_login_are_never_printed() {
        let text = "[[kafka]]\nname = 'k'\n[kafka.sasl]\nmechanism = 'PLAIN'\nusername = 'a'\npassword = 'hunter2'";
        let config = Config::parse(text, []).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_variable_gives_the_password() {
        let text = "[[kafka]]\nname = 'k'\n[kafka.sasl]\nmechanism = 'PLAIN'\nusername = 'a'";
        let variable = (
            "REDRIVE_KAFKA__0__SASL__PASSWORD".to_owned(),
            "hunter2".to_owned(),
        );
        let config = Config::parse(text, [variable]).unwrap();
        let sasl = config.kafka[0].sasl.as_ref().unwrap();
        assert_eq!(sasl.login(), ("a", "hunter2"));
    }
}
