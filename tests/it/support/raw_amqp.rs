//! Just enough AMQP 0-9-1 to publish a message with any header table.

use redrive::domain::{QueueName, VhostName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

use super::required;

pub(crate) struct RawClient {
    stream: TcpStream,
}

const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;
const BODY: u8 = 3;

pub(crate) fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

pub(crate) fn long(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [length.as_slice(), bytes].concat()
}

impl RawClient {
    pub(crate) async fn open(vhost: &VhostName) -> Self {
        let url = Url::parse(&required("REDRIVE_TEST_AMQP_URL")).unwrap();
        let address = (url.host_str().unwrap(), url.port().unwrap_or(5672));
        let stream = TcpStream::connect(address).await.unwrap();
        let mut client = Self { stream };
        client.stream.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
        client.answer().await;
        let login = format!("\0{}\0{}", url.username(), url.password().unwrap());
        let start_ok = [
            long(b""),
            short(b"PLAIN"),
            long(login.as_bytes()),
            short(b"en_US"),
        ];
        client.method(0, [10, 11], &start_ok.concat()).await;
        let tune = client.answer().await;
        client
            .send(METHOD, 0, &[&[0, 10, 0, 31], &tune[4..12]].concat())
            .await;
        let open = [short(vhost.as_str().as_bytes()), vec![0, 0]];
        client.method(0, [10, 40], &open.concat()).await;
        client.answer().await;
        client.method(1, [20, 10], &[0]).await;
        client.answer().await;
        client
    }

    /// Publishes to a queue; waits until the broker has it.
    pub(crate) async fn publish(&mut self, queue: &QueueName, table: &[u8], body: &[u8]) {
        let to = [vec![0, 0, 0], short(queue.as_str().as_bytes()), vec![0]].concat();
        self.method(1, [60, 40], &to).await;
        let size = (body.len() as u64).to_be_bytes();
        let header = [&[0, 60, 0, 0], size.as_slice(), &[0x20, 0], &long(table)].concat();
        self.send(CONTENT_HEADER, 1, &header).await;
        self.send(BODY, 1, body).await;
        // Any question with an answer: a prefetch.
        self.method(1, [60, 10], &[0, 0, 0, 0, 0, 1, 0]).await;
        assert_eq!(
            self.answer().await,
            [0, 60, 0, 11],
            "the broker refused the message"
        );
    }

    async fn method(&mut self, channel: u8, [class, method]: [u8; 2], arguments: &[u8]) {
        let payload = [&[0, class, 0, method], arguments].concat();
        self.send(METHOD, channel, &payload).await;
    }

    async fn send(&mut self, kind: u8, channel: u8, payload: &[u8]) {
        let frame = [&[kind, 0, channel], long(payload).as_slice(), &[0xce]].concat();
        self.stream.write_all(&frame).await.unwrap();
    }

    async fn answer(&mut self) -> Vec<u8> {
        let mut head = [0; 7];
        self.stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut payload = vec![0; usize::try_from(length).unwrap() + 1];
        self.stream.read_exact(&mut payload).await.unwrap();
        payload.pop();
        payload
    }
}
