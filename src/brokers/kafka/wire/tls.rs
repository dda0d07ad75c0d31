//! TLS for the sampling client: the files of `[kafka.tls]`, read into rustls.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::KafkaTlsConfig;

/// Why the files of `[kafka.tls]` are of no use.
#[derive(Debug, Error)]
pub enum TlsFileError {
    #[error("{key} {path} cannot be read as PEM")]
    Unreadable {
        key: &'static str,
        path: PathBuf,
        source: pem::Error,
    },
    #[error("{key} {path} holds no certificate")]
    NoCertificate { key: &'static str, path: PathBuf },
    #[error(
        "kafka.tls.key_file {path} holds no private key that is not encrypted; decrypt it with `openssl pkey`"
    )]
    NoKey { path: PathBuf },
    #[error("{key} {path} is not accepted")]
    NotAccepted {
        key: &'static str,
        path: PathBuf,
        source: rustls::Error,
    },
    #[error(
        "the system has no certificate authorities; install ca-certificates or set kafka.tls.ca_file"
    )]
    NoSystemAuthorities,
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
    #[error("reading the files of kafka.tls was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// Reads the files, which may have been renewed since the last time.
pub(super) async fn connector(config: &KafkaTlsConfig) -> Result<TlsConnector, TlsFileError> {
    let config = config.clone();
    let reading = tokio::task::spawn_blocking(move || client_config(&config));
    let config = reading.await.map_err(TlsFileError::Interrupted)??;
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Shakes hands with the broker, which has to prove the name in `host:port`.
pub(super) async fn handshake(
    connector: &TlsConnector,
    broker: &str,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    connector.connect(name, stream).await
}

/// Whether a broker ended the connection because of the client's certificate, or because there is none.
pub(super) fn is_about_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(
        inner,
        Some(rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRequired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::UnsupportedCertificate
        ))
    )
}

fn client_config(config: &KafkaTlsConfig) -> Result<ClientConfig, TlsFileError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsFileError::Setup)?
        .with_root_certificates(authorities(config)?);
    let (Some(certificate), Some(key)) = (&config.certificate_file, &config.key_file) else {
        return Ok(builder.with_no_client_auth());
    };
    let name = "kafka.tls.certificate_file";
    let chain = certificates(name, certificate)?;
    let client = builder.with_client_auth_cert(chain, private_key(key)?);
    client.map_err(|source| TlsFileError::NotAccepted {
        key: name,
        path: certificate.clone(),
        source,
    })
}

fn authorities(config: &KafkaTlsConfig) -> Result<RootCertStore, TlsFileError> {
    let mut authorities = RootCertStore::empty();
    let Some(path) = &config.ca_file else {
        // What of the system's cannot be read is as good as absent.
        let system = rustls_native_certs::load_native_certs().certs;
        authorities.add_parsable_certificates(system);
        return if authorities.is_empty() {
            Err(TlsFileError::NoSystemAuthorities)
        } else {
            Ok(authorities)
        };
    };
    let key = "kafka.tls.ca_file";
    for certificate in certificates(key, path)? {
        authorities
            .add(certificate)
            .map_err(|source| TlsFileError::NotAccepted {
                key,
                path: path.clone(),
                source,
            })?;
    }
    Ok(authorities)
}

fn certificates(
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let unreadable = |source| TlsFileError::Unreadable {
        key,
        path: path.to_owned(),
        source,
    };
    let read = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let certificates = read.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    if certificates.is_empty() {
        return Err(TlsFileError::NoCertificate {
            key,
            path: path.to_owned(),
        });
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFileError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| match source {
        pem::Error::NoItemsFound => TlsFileError::NoKey {
            path: path.to_owned(),
        },
        source => TlsFileError::Unreadable {
            key: "kafka.tls.key_file",
            path: path.to_owned(),
            source,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_of_no_use_is_named_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.pem");
        let check = |content: Option<&str>, config: KafkaTlsConfig, expected: &str| {
            std::fs::remove_file(&path).ok();
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let error = client_config(&config).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let ca = || KafkaTlsConfig {
            ca_file: Some(path.clone()),
            ..KafkaTlsConfig::default()
        };
        check(None, ca(), "kafka.tls.ca_file");
        check(Some("hello"), ca(), "holds no certificate");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        check(Some(broken), ca(), "is not accepted");
    }

    #[test]
    fn an_encrypted_key_says_how_to_decrypt_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let key =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        std::fs::write(&path, key).unwrap();
        let error = private_key(&path).unwrap_err().to_string();
        assert!(error.contains("openssl pkey"), "{error}");
    }
}
