//! Messages that are made to harm their reader, published by a client that writes its own bytes.

use lapin_free::RawClient;
use redrive::brokers::rabbitmq::amqp::{ManagedConsumer, observe_window};
use redrive::domain::{AmqpValue, HeaderValue, Message, QueueName};

use crate::support::rabbitmq::{REQUEST_TIMEOUT, Vhost, bodies, fill};

/// Just enough AMQP 0-9-1 to publish a message with any header table.
mod lapin_free {
    use redrive::domain::{QueueName, VhostName};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use url::Url;

    use crate::support::required;

    pub(super) struct RawClient {
        stream: TcpStream,
    }

    const METHOD: u8 = 1;
    const CONTENT_HEADER: u8 = 2;
    const BODY: u8 = 3;

    pub(super) fn short(bytes: &[u8]) -> Vec<u8> {
        [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    pub(super) fn long(bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [length.as_slice(), bytes].concat()
    }

    impl RawClient {
        pub(super) async fn open(vhost: &VhostName) -> Self {
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
        pub(super) async fn publish(&mut self, queue: &QueueName, table: &[u8], body: &[u8]) {
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
}

/// A header `x` of so many arrays or tables in each other.
fn nested(kind: u8, levels: usize) -> Vec<u8> {
    let value = (0..levels).fold(b"V".to_vec(), |inner, _| {
        let name = if kind == b'F' { vec![0] } else { vec![] };
        [
            &[kind],
            lapin_free::long(&[name, inner].concat()).as_slice(),
        ]
        .concat()
    });
    [lapin_free::short(b"x"), value].concat()
}

fn depth(value: &AmqpValue) -> usize {
    match value {
        AmqpValue::Array(values) => 1 + values.first().map_or(0, depth),
        AmqpValue::Table(fields) => 1 + fields.first().map_or(0, |(_, inner)| depth(inner)),
        _ => 0,
    }
}

fn header(message: &Message) -> &AmqpValue {
    match &message.headers[0].value {
        HeaderValue::Amqp(value) => value,
        other => panic!("{other:?}"),
    }
}

/// As many levels of arrays and of tables as fit a frame. Since 4.0 RabbitMQ writes the headers anew at
/// each delivery in a time that grows with the square of their depth (4.3.6: seconds of its processor
/// for one such message, longer than a client waits for an answer), so there are fewer.
async fn levels(vhost: &Vhost) -> [usize; 2] {
    if vhost.version().await.is_surely_before(4, 0) {
        [20_000, 14_000]
    } else {
        [4_000, 2_800]
    }
}

async fn queue_of_hostile_messages(vhost: &Vhost) -> QueueName {
    let queue = QueueName::new("hostile");
    let channel = vhost.channel().await;
    channel.declare_queue(&queue, &[]).await.unwrap();
    let mut client = RawClient::open(&vhost.name).await;
    let [arrays, tables] = levels(vhost).await;
    client
        .publish(&queue, &nested(b'A', arrays), b"deep array")
        .await;
    client
        .publish(&queue, &nested(b'F', tables), b"deep table")
        .await;
    let no_utf8 = [lapin_free::short(b"n\xff\xfe"), b"V".to_vec()].concat();
    client.publish(&queue, &no_utf8, b"no UTF-8").await;
    fill(&channel, &queue, "harmless", 1).await;
    queue
}

const EXPECTED: [&str; 4] = ["deep array", "deep table", "no UTF-8", "harmless0"];

#[tokio::test]
async fn headers_made_to_exhaust_the_stack_are_taken_like_any_other() {
    let vhost = Vhost::create().await;
    let queue = queue_of_hostile_messages(&vhost).await;
    let config = vhost.config();
    let mut consumer = ManagedConsumer::open(&config, &vhost.name, &queue, 10)
        .await
        .unwrap();
    let mut taken = Vec::new();
    while taken.len() < 4 {
        taken.extend(consumer.next_batch(10, REQUEST_TIMEOUT).await.unwrap());
    }
    let messages: Vec<&Message> = taken.iter().map(|one| &one.message).collect();
    assert_eq!(bodies(messages.iter().copied()), EXPECTED);
    for (message, levels) in messages[..2].iter().zip(levels(&vhost).await) {
        let deepest = depth(header(message));
        assert!((20..64).contains(&deepest), "{deepest}");
        // Nothing of it is gone: what is below lies there as bytes.
        assert!(
            message.headers_size() > 4 * levels,
            "{}",
            message.headers_size()
        );
    }
    assert_eq!(messages[2].headers[0].name_lossy(), "n??");
    let stored = serde_json::to_string(messages[1]).unwrap();
    assert_eq!(
        &serde_json::from_str::<Message>(&stored).unwrap(),
        messages[1]
    );
}

#[tokio::test]
async fn a_look_at_them_changes_nothing_in_the_queue() {
    let vhost = Vhost::create().await;
    let queue = queue_of_hostile_messages(&vhost).await;
    vhost
        .queue_once(&queue, |sample| {
            sample.messages == Some(4) && sample.consumers == Some(0)
        })
        .await;
    let place = (&vhost.name, &queue);
    let window = observe_window(&vhost.config(), REQUEST_TIMEOUT, place, 10)
        .await
        .unwrap();
    assert_eq!(bodies(&window.messages), EXPECTED);
    assert_eq!((window.ready_before, window.ready_after), (4, 4));
}
