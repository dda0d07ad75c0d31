use std::time::Duration;

use lapin::types::ShortString;
use lapin::{Connection, ConnectionProperties};
use url::Url;

use super::error::AmqpError;
use crate::config::RabbitMqConfig;
use crate::domain::VhostName;

/// The TCP connection, the TLS handshake and the login together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens a connection to one virtual host; `purpose` names it in RabbitMQ's own pages.
pub(super) async fn connect(
    config: &RabbitMqConfig,
    vhost: &VhostName,
    purpose: &str,
) -> Result<Connection, AmqpError> {
    let cluster = config.name.to_string();
    let url = url_for(config, vhost)?;
    let name = format!("redrive {purpose}");
    let properties = ConnectionProperties::default().with_connection_name(name.as_str().into());
    match tokio::time::timeout(CONNECT_TIMEOUT, Connection::connect(&url, properties)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(source)) => Err(AmqpError::Connect {
            cluster,
            vhost: vhost.to_string(),
            source: Box::new(source),
        }),
        Err(_) => Err(AmqpError::Timeout {
            cluster,
            after: CONNECT_TIMEOUT,
        }),
    }
}

/// The configured address with another virtual host.
fn url_for(config: &RabbitMqConfig, vhost: &VhostName) -> Result<String, AmqpError> {
    let failed = |reason: String| AmqpError::Url {
        cluster: config.name.to_string(),
        vhost: vhost.to_string(),
        reason,
    };
    let mut url =
        Url::parse(config.amqp_url.expose()).map_err(|error| failed(error.to_string()))?;
    url.path_segments_mut()
        .map_err(|()| failed("it has no path for the virtual host".to_owned()))?
        .clear()
        .push(vhost.as_str());
    Ok(url.into())
}

/// The virtual host that the configured address names; `/` if it names none.
pub(super) fn configured_vhost(config: &RabbitMqConfig) -> VhostName {
    let url = Url::parse(config.amqp_url.expose()).ok();
    let path = url
        .as_ref()
        .map_or("", |url| url.path().trim_start_matches('/'));
    if path.is_empty() {
        return VhostName::new("/");
    }
    VhostName::new(percent_decoded(path))
}

fn percent_decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("v={}", text.replace('+', "%2b")).as_bytes())
        .next()
        .map_or_else(|| text.to_owned(), |(_, value)| value.into_owned())
}

/// AMQP's short strings hold 255 bytes; a longer name exists nowhere.
pub(super) fn short(name: &str) -> Result<ShortString, AmqpError> {
    ShortString::try_new(name).map_err(|_| AmqpError::NameTooLong {
        name: name.to_owned(),
    })
}

pub(super) fn refused(action: impl Into<String>) -> impl FnOnce(lapin::Error) -> AmqpError {
    move |source| AmqpError::Refused {
        action: action.into(),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn a_virtual_host_is_escaped_into_the_address_and_read_back() {
        let config = |url: &str| RabbitMqConfig {
            amqp_url: Secret::new(url),
            ..RabbitMqConfig::default()
        };
        let base = config("amqp://u:p@h:5672/%2f");
        for vhost in ["/", "a b", "ä/%", "plain", "a+b"] {
            let vhost = VhostName::new(vhost);
            let url = url_for(&base, &vhost).unwrap();
            assert_eq!(configured_vhost(&config(&url)), vhost, "{url}");
        }
        assert_eq!(
            configured_vhost(&config("amqp://h:5672")),
            VhostName::new("/")
        );
    }
}
