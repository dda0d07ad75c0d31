//! A line to RabbitMQ that a test cuts when it likes.

use redrive::config::{RabbitMqConfig, Secret};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) struct Line {
    /// The broker at the other end of the line.
    pub(crate) config: RabbitMqConfig,
    cut: CancellationToken,
}

impl Line {
    pub(crate) async fn to(config: RabbitMqConfig) -> Self {
        let mut address: Url = config.amqp_url.expose().parse().unwrap();
        let broker = format!("{}:{}", address.host().unwrap(), address.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        address.set_port(Some(port)).unwrap();
        let cut = CancellationToken::new();
        let is_cut = cut.clone();
        tokio::spawn(is_cut.clone().run_until_cancelled_owned(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut server = TcpStream::connect(&broker).await.unwrap();
                tokio::spawn(is_cut.clone().run_until_cancelled_owned(async move {
                    copy_bidirectional(&mut client, &mut server).await
                }));
            }
        }));
        let config = RabbitMqConfig {
            amqp_url: Secret::new(address.to_string()),
            ..config
        };
        Self { config, cut }
    }

    /// From now on nothing goes through.
    pub(crate) fn cut(self) {
        self.cut.cancel();
    }
}
