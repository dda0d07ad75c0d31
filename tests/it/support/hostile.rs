//! Messages that are made to harm whoever stores, shows, searches or sends them.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use redrive::domain::{Header, HeaderValue, Message};

pub(crate) const SCRIPT: &str = "<script>alert(1)</script>";
/// Clears a terminal, sets its title, and writes from right to left.
pub(crate) const CONTROL: &str = "\u{1b}[2J\u{1b}]0;t\u{7}\u{202e}\u{2066}\u{feff}";

/// The name of a case in a header by which it is searched.
pub(crate) const CASE: &str = "case";

/// A message with its name.
pub(crate) struct Hostile {
    pub(crate) name: &'static str,
    pub(crate) message: Message,
}

impl Hostile {
    fn new(name: &'static str, body: impl Into<Bytes>, headers: Vec<Header>) -> Self {
        let mut all = vec![Header::text(CASE, name)];
        all.extend(headers);
        Self {
            name,
            message: Message {
                key: Some(Bytes::from_static(b"key")),
                body: Some(body.into()),
                headers: all,
                properties: None,
            },
        }
    }
}

fn header(name: &[u8], value: HeaderValue) -> Header {
    Header {
        name: Bytes::copy_from_slice(name),
        value,
    }
}

fn bytes(value: &[u8]) -> HeaderValue {
    HeaderValue::Bytes(Bytes::copy_from_slice(value))
}

/// What either broker carries.
pub(crate) fn for_any_broker() -> Vec<Hostile> {
    let many = (0..10_000).map(|number| Header::text(&format!("h{number}"), ""));
    let everywhere = format!("{SCRIPT}{CONTROL}");
    let mut script = Hostile::new(
        "script",
        format!("{{\"</pre>{SCRIPT}\":\"\u{202e}<!--\",\"eventType\":\"{SCRIPT}\"}}"),
        vec![
            Header::text("<img src=x onerror=alert(1)>", "\" onmouseover=\"alert(1)"),
            Header::text(&everywhere, everywhere.clone()),
            Header::text("correlationId", everywhere.clone()),
            Header::text("x-error-class", everywhere.clone()),
            Header::text("x-error-message", format!("</span>{everywhere}")),
            Header::text("x-error-stacktrace", format!("E: x\n\tat {everywhere}\n")),
        ],
    );
    script.message.key = Some(everywhere.into());
    let large = format!("{{\"large\":\"{}\"}}", "x".repeat(10 * 1024 * 1024));
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let gzip = Header::text("content-encoding", "gzip");
    vec![
        Hostile::new("many-headers", "{}", many.collect()),
        script,
        Hostile::new("deep-json", deep, vec![]),
        Hostile::new("gzip-bomb", gzip_bomb(), vec![gzip]),
        Hostile::new("large", large, vec![]),
    ]
}

/// What only Kafka carries: RabbitMQ's client has names as text, and each once.
pub(crate) fn for_kafka() -> Vec<Hostile> {
    // A name with a zero byte is read up to there: librdkafka has names as C strings.
    let not_text = vec![
        header(b"\xff\xfe\x01", bytes(b"\xff\x00\xfe")),
        header(b"", bytes(b"")),
        header(b"null", HeaderValue::Null),
        header(b"x-error-message", bytes(b"\xc3\x28")),
    ];
    let twice = ["1", "2", "1"].map(|value| Header::text("twice", value));
    let mut twice = twice.to_vec();
    twice.push(header(b"twice", HeaderValue::Null));
    vec![
        Hostile::new("not-text", &b"\xff\xfe\x00\x80"[..], not_text),
        Hostile::new("twice", "", twice),
    ]
}

/// 128 MiB of zeros, packed.
fn gzip_bomb() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let zeros = vec![b'0'; 1024 * 1024];
    for _ in 0..128 {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap()
}
