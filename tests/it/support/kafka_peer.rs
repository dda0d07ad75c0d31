//! A peer that speaks as much of Kafka's protocol as a test wants it to, and says what it wants.

use std::sync::{Arc, Mutex};

use redrive::config::KafkaConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const LIST_OFFSETS: i16 = 2;
pub(crate) const METADATA: i16 = 3;
pub(crate) const OFFSET_FETCH: i16 = 9;
pub(crate) const DESCRIBE_GROUPS: i16 = 15;
pub(crate) const LIST_GROUPS: i16 = 16;
const API_VERSIONS: i16 = 18;

/// The one version of each API that the peer knows.
const VERSIONS: [(i16, i16); 5] = [
    (LIST_OFFSETS, 6),
    (METADATA, 9),
    (OFFSET_FETCH, 8),
    (DESCRIBE_GROUPS, 5),
    (LIST_GROUPS, 5),
];

/// The body of an answer, in the compact encoding.
#[derive(Clone, Default)]
pub(crate) struct Body(Vec<u8>);

impl Body {
    pub(crate) fn i8(mut self, value: i8) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn i16(mut self, value: i16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn varint(mut self, mut value: usize) -> Self {
        while value >= 0x80 {
            self.0.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap());
        self
    }

    pub(crate) fn string(self, text: &str) -> Self {
        let mut body = self.varint(text.len() + 1);
        body.0.extend(text.as_bytes());
        body
    }

    pub(crate) fn null(self) -> Self {
        self.varint(0)
    }

    pub(crate) fn items<T>(
        self,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        item: impl Fn(Self, T) -> Self,
    ) -> Self {
        let items = items.into_iter();
        let body = self.varint(items.len() + 1);
        items.fold(body, item)
    }

    /// No tagged fields.
    pub(crate) fn tags(self) -> Self {
        self.varint(0)
    }
}

/// `Metadata` v9 of brokers at these ports of this machine and one topic with one partition, which the
/// first of them leads.
pub(crate) fn metadata_of(
    ports: impl IntoIterator<Item = u16, IntoIter: ExactSizeIterator>,
) -> Body {
    let brokers = ports.into_iter().enumerate();
    Body::default()
        .i32(0)
        .items(brokers, |body, (id, port)| {
            let body = body.i32(i32::try_from(id).unwrap()).string("127.0.0.1");
            body.i32(port.into()).null().tags()
        })
        .string("cluster")
        .i32(0)
        .items([()], |body, ()| {
            body.i16(0)
                .string("orders")
                .i8(0)
                .items([()], |body, ()| {
                    let body = body.i16(0).i32(0).i32(0).i32(0);
                    let replicas = |body: Body| body.items([0], Body::i32);
                    replicas(replicas(body)).items([], Body::i32).tags()
                })
                .i32(0)
                .tags()
        })
        .i32(0)
        .tags()
}

/// `ListOffsets` v6 of that partition.
pub(crate) fn offsets_of(error: i16, offset: i64) -> Body {
    Body::default()
        .i32(0)
        .items([()], |body, ()| {
            body.string("orders")
                .items([()], |body, ()| {
                    body.i32(0).i16(error).i64(-1).i64(offset).i32(0).tags()
                })
                .tags()
        })
        .tags()
}

/// `ListGroups` v5: error code and groups with name, protocol, state and type.
pub(crate) fn groups_of(error: i16, groups: &[[&str; 4]]) -> Body {
    Body::default()
        .i32(0)
        .i16(error)
        .items(groups, |body, group| {
            group
                .iter()
                .fold(body, |body, text| body.string(text))
                .tags()
        })
        .tags()
}

/// `DescribeGroups` v5 of groups without members.
pub(crate) fn described_as(groups: &[(&str, &str)]) -> Body {
    Body::default()
        .i32(0)
        .items(groups, |body, (group, state)| {
            let body = body.i16(0).string(group).string(state).string("consumer");
            body.string("")
                .items([(); 0], |body, ()| body)
                .i32(0)
                .tags()
        })
        .tags()
}

/// `OffsetFetch` v8: groups with their error code, each with one committed offset.
pub(crate) fn committed_by(groups: &[(&str, i16)]) -> Body {
    Body::default()
        .i32(0)
        .items(groups, |body, (group, error)| {
            body.string(group)
                .items([()], |body, ()| {
                    body.string("orders")
                        .items([()], |body, ()| {
                            body.i32(0).i64(7).i32(0).null().i16(0).tags()
                        })
                        .tags()
                })
                .i16(*error)
                .tags()
        })
        .tags()
}

/// A running peer.
pub(crate) struct KafkaPeer {
    pub(crate) config: KafkaConfig,
    asked: Arc<Mutex<Vec<i16>>>,
}

impl KafkaPeer {
    /// Answers with what `answer` makes of the key of an API and the peer's own port.
    pub(crate) async fn start(answer: impl Fn(i16, u16) -> Body + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                let answer = move |key| {
                    log.lock().unwrap().push(key);
                    answer(key, address.port())
                };
                tokio::spawn(serve(stream, answer));
            }
        });
        let config = KafkaConfig {
            bootstrap_servers: vec![address.to_string()],
            ..KafkaConfig::default()
        };
        Self { config, asked }
    }

    pub(crate) fn was_asked(&self, key: i16) -> bool {
        self.asked.lock().unwrap().contains(&key)
    }
}

async fn serve(mut stream: TcpStream, answer: impl Fn(i16) -> Body) {
    while let Ok(size) = stream.read_i32().await {
        let mut request = vec![0; usize::try_from(size).unwrap()];
        if stream.read_exact(&mut request).await.is_err() {
            return;
        }
        let key = i16::from_be_bytes([request[0], request[1]]);
        let mut frame = request[4..8].to_vec();
        if key == API_VERSIONS {
            frame.extend(api_versions().0);
        } else {
            frame.push(0);
            frame.extend(answer(key).0);
        }
        let size = i32::try_from(frame.len()).unwrap();
        frame.splice(0..0, size.to_be_bytes());
        if stream.write_all(&frame).await.is_err() {
            return;
        }
    }
}

fn api_versions() -> Body {
    let range =
        |body: Body, (key, version): (i16, i16)| body.i16(key).i16(version).i16(version).tags();
    Body::default().i16(0).items(VERSIONS, range).i32(0).tags()
}
