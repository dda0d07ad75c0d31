//! A broker that has any number of partitions because it only says so: it answers what a sample asks, in the one
//! version of each API that it knows. Each look finds ten more records in every partition and each group five
//! records behind what the look before found, so that nothing stands still.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context as _, Result, bail};

const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const OFFSET_FETCH: i16 = 9;
const DESCRIBE_GROUPS: i16 = 15;
const LIST_GROUPS: i16 = 16;
const API_VERSIONS: i16 = 18;

const VERSIONS: [(i16, i16); 5] = [
    (LIST_OFFSETS, 6),
    (METADATA, 9),
    (OFFSET_FETCH, 8),
    (DESCRIBE_GROUPS, 5),
    (LIST_GROUPS, 5),
];

/// `ListOffsets` timestamps with a meaning of their own; others ask for the first record since then.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const NONE_SINCE: i64 = -1;

const PARTITIONS_PER_TOPIC: i32 = 10;
const TOPICS_PER_GROUP: i32 = 2;
const RECORDS_PER_LOOK: i64 = 10;
const LAG: i64 = 5;

/// A running broker; it lives as long as the bench.
pub(crate) struct SyntheticBroker {
    pub(crate) address: String,
    looks: Arc<AtomicU32>,
}

impl SyntheticBroker {
    /// As many topics as groups, ten partitions a topic, two topics a group.
    pub(crate) fn start(partitions: i32) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let looks = Arc::new(AtomicU32::new(0));
        let cluster = Cluster {
            topics: partitions / PARTITIONS_PER_TOPIC,
            port: address.port(),
            looks: Arc::clone(&looks),
        };
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let cluster = cluster.clone();
                thread::spawn(move || cluster.serve(stream));
            }
        });
        let address = address.to_string();
        Ok(Self { address, looks })
    }

    /// How many samples have begun.
    pub(crate) fn looks(&self) -> u32 {
        self.looks.load(Ordering::SeqCst)
    }
}

#[derive(Clone)]
struct Cluster {
    topics: i32,
    port: u16,
    looks: Arc<AtomicU32>,
}

impl Cluster {
    /// Ends when the client goes.
    fn serve(&self, mut stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        loop {
            let mut size = [0; 4];
            stream.read_exact(&mut size)?;
            let mut request = vec![0; usize::try_from(i32::from_be_bytes(size))?];
            stream.read_exact(&mut request)?;
            let answer = self.answer(&request)?;
            let size = i32::try_from(answer.len())?;
            stream.write_all(&size.to_be_bytes())?;
            stream.write_all(&answer)?;
        }
    }

    fn answer(&self, request: &[u8]) -> Result<Vec<u8>> {
        let mut reader = Request(request);
        let (key, _version) = (reader.i16()?, reader.i16()?);
        let body = Body(reader.take(4)?.to_vec());
        if key == API_VERSIONS {
            return Ok(api_versions(body).0);
        }
        let client = usize::try_from(reader.i16()?)?;
        reader.take(client)?;
        reader.varint()?;
        let body = body.tags();
        let answer = match key {
            METADATA => self.metadata(body),
            LIST_GROUPS => {
                self.looks.fetch_add(1, Ordering::SeqCst);
                self.list_groups(body)
            }
            DESCRIBE_GROUPS => {
                let groups = reader.names(|_| Ok(()))?;
                describe_groups(body, &groups)
            }
            OFFSET_FETCH => {
                // No topics, and tagged fields.
                let groups = reader.names(|reader| reader.take(2).map(drop))?;
                self.offset_fetch(body, &groups)?
            }
            LIST_OFFSETS => {
                let at = reader.first_timestamp()?;
                self.list_offsets(body, at)
            }
            _ => bail!("API {key} was not offered"),
        };
        Ok(answer.0)
    }

    fn end(&self) -> i64 {
        RECORDS_PER_LOOK * i64::from(self.looks.load(Ordering::SeqCst))
    }

    fn metadata(&self, body: Body) -> Body {
        let broker = |body: Body, id| {
            let body = body.i32(id).string("127.0.0.1");
            body.i32(self.port.into()).null().tags()
        };
        let body = body.i32(0).items(0..1, broker).string("synthetic").i32(0);
        let partition = |body: Body, partition| {
            let body = body.i16(0).i32(partition).i32(0).i32(0);
            let body = body.items(0..1, Body::i32).items(0..1, Body::i32);
            body.items(0..0, Body::i32).tags()
        };
        let topic = |body: Body, topic| {
            let body = body.i16(0).string(&topic_name(topic)).i8(0);
            let body = body.items(0..PARTITIONS_PER_TOPIC, partition);
            body.i32(0).tags()
        };
        body.items(0..self.topics, topic).i32(0).tags()
    }

    fn list_groups(&self, body: Body) -> Body {
        let group = |body: Body, group| {
            let body = body.string(&group_name(group)).string("consumer");
            body.string("Empty").string("classic").tags()
        };
        body.i32(0).i16(0).items(0..self.topics, group).tags()
    }

    fn offset_fetch(&self, body: Body, groups: &[&str]) -> Result<Body> {
        let committed = self.end() - RECORDS_PER_LOOK - LAG;
        let partition = |body: Body, partition| {
            let body = body.i32(partition).i64(committed).i32(0);
            body.null().i16(0).tags()
        };
        let mut body = body.i32(0).count(groups.len());
        for group in groups {
            let number = group.rsplit('-').next().unwrap_or_default();
            let first: i32 = number.parse().context("no group of this broker")?;
            body = body.string(group);
            body = body.items(first..first + TOPICS_PER_GROUP, |body, topic| {
                let body = body.string(&topic_name(topic % self.topics));
                body.items(0..PARTITIONS_PER_TOPIC, partition).tags()
            });
            body = body.i16(0).tags();
        }
        Ok(body.tags())
    }

    fn list_offsets(&self, body: Body, at: i64) -> Body {
        let offset = match at {
            LATEST => self.end(),
            EARLIEST => 0,
            _ => NONE_SINCE,
        };
        let partition = |body: Body, partition| {
            let body = body.i32(partition).i16(0).i64(-1);
            body.i64(offset).i32(0).tags()
        };
        let topic = |body: Body, topic| {
            let body = body.string(&topic_name(topic));
            body.items(0..PARTITIONS_PER_TOPIC, partition).tags()
        };
        body.i32(0).items(0..self.topics, topic).tags()
    }
}

fn topic_name(number: i32) -> String {
    format!("synthetic-topic-{number:05}")
}

fn group_name(number: i32) -> String {
    format!("synthetic-group-{number:05}")
}

fn api_versions(body: Body) -> Body {
    let mut body = body.i16(0).count(VERSIONS.len());
    for (key, version) in VERSIONS {
        body = body.i16(key).i16(version).i16(version).tags();
    }
    body.i32(0).tags()
}

fn describe_groups(body: Body, groups: &[&str]) -> Body {
    let mut body = body.i32(0).count(groups.len());
    for group in groups {
        body = body.i16(0).string(group).string("Empty").string("consumer");
        body = body.string("").count(0).i32(0).tags();
    }
    body.tags()
}

/// The body of an answer, in the compact encoding.
struct Body(Vec<u8>);

impl Body {
    fn i8(mut self, value: i8) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn i16(mut self, value: i16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn varint(mut self, mut value: usize) -> Self {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                self.0.push(low & 0x7f);
                return self;
            }
            self.0.push(low | 0x80);
        }
    }

    fn string(self, text: &str) -> Self {
        let mut body = self.varint(text.len() + 1);
        body.0.extend(text.as_bytes());
        body
    }

    fn null(self) -> Self {
        self.varint(0)
    }

    /// So many items follow.
    fn count(self, items: usize) -> Self {
        self.varint(items + 1)
    }

    fn items(self, numbers: std::ops::Range<i32>, item: impl Fn(Self, i32) -> Self) -> Self {
        let body = self.count(numbers.len());
        numbers.fold(body, item)
    }

    /// No tagged fields.
    fn tags(self) -> Self {
        self.varint(0)
    }
}

/// What is left of a request.
struct Request<'a>(&'a [u8]);

impl<'a> Request<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).context("cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    fn varint(&mut self) -> Result<usize> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = usize::from(*self.take(1)?.first().context("cut short")?);
            value |= (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        bail!("a number is too long")
    }

    fn string(&mut self) -> Result<&'a str> {
        let length = self.varint()?.checked_sub(1).context("no string")?;
        Ok(std::str::from_utf8(self.take(length)?)?)
    }

    /// The names at the beginning of the items of a list.
    fn names(&mut self, rest: impl Fn(&mut Self) -> Result<()>) -> Result<Vec<&'a str>> {
        let count = self.varint()?.saturating_sub(1);
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(self.string()?);
            rest(self)?;
        }
        Ok(names)
    }

    /// Of `ListOffsets`, which asks all partitions for the same.
    fn first_timestamp(&mut self) -> Result<i64> {
        // Replica and isolation level, then the number of topics, the first one's name and its partitions.
        self.take(5)?;
        self.varint()?;
        self.string()?;
        self.varint()?;
        // The partition and the epoch of its leader.
        self.take(8)?;
        Ok(i64::from_be_bytes(self.take(8)?.try_into()?))
    }
}
