//! How a connection to a broker is protected and who logs in on it.

use std::fmt;
use std::sync::Arc;

use kafka_protocol::messages::{ApiKey, SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use tokio_rustls::TlsConnector;
use uuid::Uuid;

use super::answers::{self, SaslAnswer};
use super::connection::Connection;
use super::error::WireError;
use super::scram::{ScramClient, ScramHash};
use super::{tls, versions};
use crate::brokers::kafka::oauth::TokenSource;
use crate::config::{KafkaConfig, KafkaSaslConfig, SaslMechanism};

/// `UNSUPPORTED_SASL_MECHANISM`
const UNSUPPORTED_MECHANISM: i16 = 33;

/// What opening a connection needs beside an address.
#[derive(Clone, Default)]
pub(super) struct Access {
    pub(super) tls: Option<TlsConnector>,
    pub(super) login: Option<Login>,
}

/// Who logs in, and how.
#[derive(Clone)]
pub(super) struct Login {
    sasl: KafkaSaslConfig,
    tokens: Option<Arc<TokenSource>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mechanism = self.login.as_ref().map(|login| login.sasl.mechanism);
        formatter
            .debug_struct("Access")
            .field("tls", &self.tls.is_some())
            .field("mechanism", &mechanism)
            .finish()
    }
}

impl Access {
    /// Reads the files that the configuration names.
    pub(super) async fn load(config: &KafkaConfig) -> Result<Self, WireError> {
        let tls = match &config.tls {
            Some(files) => Some(tls::connector(files).await.map_err(WireError::TlsFiles)?),
            None => None,
        };
        let login = config.sasl.as_ref().map(|sasl| Login {
            sasl: sasl.clone(),
            tokens: sasl.oauth_client().as_ref().map(TokenSource::of),
        });
        Ok(Self { tls, login })
    }
}

impl Login {
    /// Logs in on a connection whose versions are negotiated (KIP-43, KIP-152). The broker may limit how
    /// long the session lasts (KIP-368).
    pub(super) async fn log_in(&self, connection: &mut Connection) -> Result<(), WireError> {
        self.choose_mechanism(connection).await?;
        let answer = match self.sasl.mechanism {
            SaslMechanism::Plain => {
                let (username, password) = self.sasl.login();
                let message = format!("\0{username}\0{password}");
                self.authenticate(connection, message.into_bytes()).await?
            }
            SaslMechanism::ScramSha256 => self.scram(connection, ScramHash::Sha256).await?,
            SaslMechanism::ScramSha512 => self.scram(connection, ScramHash::Sha512).await?,
            SaslMechanism::OauthBearer => self.bearer(connection).await?,
        };
        connection.limit_session(answer.session_lifetime_ms);
        Ok(())
    }

    async fn choose_mechanism(&self, connection: &mut Connection) -> Result<(), WireError> {
        let api = "SaslHandshake";
        let key = ApiKey::SaslHandshake;
        let version = connection.required_version(key, versions::SASL_HANDSHAKE, api)?;
        let mechanism = self.sasl.mechanism.as_str();
        let request =
            SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let body = connection.call(key, version, api, &request).await?;
        let (code, offered) =
            answers::sasl_handshake(&body).map_err(|source| connection.garbage(api, source))?;
        match code {
            0 => Ok(()),
            UNSUPPORTED_MECHANISM => Err(WireError::MechanismNotOffered {
                broker: connection.broker().to_owned(),
                mechanism,
                offered: offered.join(", "),
            }),
            code => Err(connection.refused(api, code)),
        }
    }

    async fn scram(
        &self,
        connection: &mut Connection,
        hash: ScramHash,
    ) -> Result<SaslAnswer, WireError> {
        let (username, password) = self.sasl.login();
        let nonce = Uuid::new_v4().simple().to_string();
        let client = ScramClient::new(hash, username, password, nonce);
        let first = client.first_message().into_bytes();
        let challenge = self.authenticate(connection, first).await?;
        let (proof, awaited) = client
            .proof(&challenge.bytes)
            .map_err(|error| self.refused(connection.broker(), &error.to_string()))?;
        let last = self.authenticate(connection, proof.into_bytes()).await?;
        awaited
            .check(&last.bytes)
            .map_err(|error| self.refused(connection.broker(), &error.to_string()))?;
        Ok(last)
    }

    async fn bearer(&self, connection: &mut Connection) -> Result<SaslAnswer, WireError> {
        let tokens = self.tokens.as_ref();
        let tokens = tokens.ok_or_else(|| WireError::Encode("no source of tokens".to_owned()))?;
        let token = tokens.token().await.map_err(WireError::Token)?;
        let message = format!("n,,\x01auth=Bearer {}\x01\x01", token.value);
        let answer = self.authenticate(connection, message.into_bytes()).await?;
        if answer.bytes.is_empty() {
            return Ok(answer);
        }
        // A refusal is JSON, which the client confirms (RFC 7628, 3.2.3); the broker then says so itself.
        self.authenticate(connection, b"\x01".to_vec()).await
    }

    async fn authenticate(
        &self,
        connection: &mut Connection,
        message: Vec<u8>,
    ) -> Result<SaslAnswer, WireError> {
        let api = "SaslAuthenticate";
        let key = ApiKey::SaslAuthenticate;
        let version = connection.required_version(key, versions::SASL_AUTHENTICATE, api)?;
        let request = SaslAuthenticateRequest::default().with_auth_bytes(message.into());
        let body = connection.call(key, version, api, &request).await?;
        let answer =
            answers::sasl_authenticate(&body).map_err(|source| connection.garbage(api, source))?;
        if answer.error == 0 {
            return Ok(answer);
        }
        let reason = answer.message.as_deref().unwrap_or("no reason given");
        Err(self.refused(connection.broker(), reason))
    }

    fn refused(&self, broker: &str, reason: &str) -> WireError {
        let keys = match self.sasl.mechanism {
            SaslMechanism::OauthBearer => "kafka.sasl.client_id and client_secret",
            _ => "kafka.sasl.username and password",
        };
        WireError::LoginRefused {
            broker: broker.to_owned(),
            mechanism: self.sasl.mechanism.as_str(),
            reason: reason
                .chars()
                .filter(|c| !c.is_control())
                .take(300)
                .collect(),
            keys,
        }
    }
}
