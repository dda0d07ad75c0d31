use std::time::Duration;

use async_rs::{Runtime, Tokio};
use lapin::options::ConfirmSelectOptions;
use lapin::tcp::{AMQPUriTcpExt as _, OwnedTLSConfig};
use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties};
use url::{Host, Url};

use super::error::AmqpError;
use super::guarded_stream::{GuardedRuntime, GuardedStream};
use crate::config::RabbitMqConfig;
use crate::domain::VhostName;

/// The TCP connection, the TLS handshake and the login together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One question to a broker over an open connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A peer that is silent for twice this time is gone; RabbitMQ's own default is three times longer.
const HEARTBEAT_SECONDS: u16 = 20;

/// RabbitMQ's own default.
const MAX_FRAME_BYTES: u32 = 128 * 1024;

/// Opens a connection to one virtual host; `purpose` names it in RabbitMQ's own pages.
pub(super) async fn connect(
    config: &RabbitMqConfig,
    vhost: &VhostName,
    purpose: &str,
) -> Result<Connection, AmqpError> {
    let cluster = config.name.to_string();
    let uri = address_of(config, vhost)?;
    let address = format!("{}:{}", uri.authority.host, uri.authority.port);
    let name = format!("redrive {purpose}");
    let properties = ConnectionProperties::default().with_connection_name(name.as_str().into());
    match tokio::time::timeout(CONNECT_TIMEOUT, open(uri, properties)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(source)) => Err(AmqpError::Connect {
            cluster,
            address,
            vhost: vhost.to_string(),
            source: Box::new(source),
        }),
        Err(_) => Err(AmqpError::Timeout {
            cluster,
            address,
            after: CONNECT_TIMEOUT,
        }),
    }
}

/// A connection with a channel that confirms what is published on it, and the user who publishes.
pub(super) async fn connect_publisher(
    config: &RabbitMqConfig,
    vhost: &VhostName,
    purpose: &str,
) -> Result<(Connection, Channel, String), AmqpError> {
    let user = configured_user(config)?;
    let connection = connect(config, vhost, purpose).await?;
    let channel = ask("opening a channel", connection.create_channel()).await?;
    let confirms = channel.confirm_select(ConfirmSelectOptions::default());
    ask("publisher confirms", confirms).await?;
    Ok((connection, channel, user))
}

async fn open(address: AMQPUri, properties: ConnectionProperties) -> lapin::Result<Connection> {
    let tls = OwnedTLSConfig::default();
    let tokio = Runtime::new(Tokio::current());
    let guarded = async move |address: AMQPUri, _| {
        let transport = address.connect_with_config_async(tls.as_ref(), &tokio);
        Ok(AsyncTcpStream::Plain(GuardedStream::new(transport.await?)))
    };
    let runtime = Runtime::new(GuardedRuntime::current());
    Connection::connector(address, runtime, guarded, properties).await
}

/// The configured address with another virtual host.
fn address_of(config: &RabbitMqConfig, vhost: &VhostName) -> Result<AMQPUri, AmqpError> {
    let failed = |reason: String| AmqpError::Url {
        cluster: config.name.to_string(),
        vhost: vhost.to_string(),
        reason,
    };
    let text = config.amqp_url.expose();
    let mut address: AMQPUri = text.parse().map_err(failed)?;
    vhost.as_str().clone_into(&mut address.vhost);
    // The parser takes an IPv6 address for no host, and no host for localhost.
    if let Ok(Some(Host::Ipv6(ip))) = Url::parse(text).map(|url| url.host().map(|h| h.to_owned())) {
        address.authority.host = ip.to_string();
    }
    address.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    // Else the peer decides how large our buffers are.
    address.query.frame_max.get_or_insert(MAX_FRAME_BYTES);
    Ok(address)
}

/// The user of the connection.
pub(super) fn configured_user(config: &RabbitMqConfig) -> Result<String, AmqpError> {
    let address = address_of(config, &configured_vhost(config))?;
    Ok(address.authority.userinfo.username)
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

/// Asks the broker something and does not wait for ever: a broker that is out of memory or disk stops
/// reading, and a lost network is silent.
pub(super) async fn ask<T>(
    action: impl Into<String>,
    question: impl Future<Output = lapin::Result<T>>,
) -> Result<T, AmqpError> {
    let action = action.into();
    match tokio::time::timeout(ANSWER_TIMEOUT, question).await {
        Ok(answer) => answer.map_err(refused(action)),
        Err(_) => Err(AmqpError::NoAnswer {
            action,
            after: ANSWER_TIMEOUT,
        }),
    }
}

/// Ends a connection. What it held goes back to its queue, also if the broker does not answer.
pub(super) async fn close(connection: Connection) {
    // There is nobody to tell: the connection is over either way.
    let _ = ask("closing", connection.close(200, "done".into())).await;
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
            let address = address_of(&base, &vhost).unwrap();
            assert_eq!(address.vhost, vhost.as_str());
            let url = address.to_string();
            assert_eq!(configured_vhost(&config(&url)), vhost, "{url}");
        }
        assert_eq!(
            configured_vhost(&config("amqp://h:5672")),
            VhostName::new("/")
        );
    }

    #[test]
    fn an_ipv6_address_is_not_taken_for_localhost() {
        let config = RabbitMqConfig {
            amqp_url: Secret::new("amqps://u:p@[2001:db8::1]:5671/x?heartbeat=5"),
            ..RabbitMqConfig::default()
        };
        let address = address_of(&config, &VhostName::new("x")).unwrap();
        assert_eq!(address.authority.host, "2001:db8::1");
        assert_eq!(address.query.heartbeat, Some(5));
    }
}
