//! What `/metrics` serves: the part encoded once per sample of a cluster, and the small part encoded per scrape.
//!
//! The families of each cluster are text, and deflated, once per sample of that cluster, whatever the format
//! and whoever asks; an exposition strings them together. A deflated text that was flushed ends on a byte
//! boundary, so that texts deflated apart can follow one another in one gzip member.

use std::io::{self, Write as _};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use super::format::Format;
use super::text::Family;
use crate::domain::ClusterSnapshot;

/// A stored block of a deflated text holds no more.
const STORED_BLOCK: usize = 0xffff;

/// The families of one sample of one cluster.
#[derive(Debug, Default)]
pub(super) struct ClusterText {
    /// The same families in the same order for every cluster, with or without series. Their lines are below.
    pub(super) families: Vec<Family>,
    /// One for each family; scrapes share them.
    lines: Vec<Bytes>,
    pub(super) series: usize,
    /// How long encoding took.
    pub(super) took: Duration,
    /// One for each family, made at most once and only if somebody asks.
    deflated: OnceLock<Vec<Deflated>>,
}

#[derive(Debug)]
struct Deflated {
    bytes: Vec<u8>,
    checksum: Crc,
}

impl ClusterText {
    pub(super) fn new(mut families: Vec<Family>, series: usize) -> Self {
        Self {
            lines: families.iter_mut().map(Family::take_lines).collect(),
            families,
            series,
            ..Self::default()
        }
    }

    pub(super) fn deflate(&self) {
        self.deflated();
    }

    fn deflated(&self) -> &[Deflated] {
        let lines = self.lines.iter();
        self.deflated
            .get_or_init(|| lines.map(|lines| deflate(lines)).collect())
    }
}

/// The text of a cluster and what it was made of.
#[derive(Clone, Debug)]
pub(super) struct EncodedCluster {
    pub(super) of: Arc<ClusterSnapshot>,
    pub(super) fresh: bool,
    pub(super) text: Arc<ClusterText>,
}

/// The families of all clusters.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    pub(super) clusters: Vec<EncodedCluster>,
}

impl Exposition {
    /// The text that was made of this very sample.
    pub(super) fn find(&self, of: &Arc<ClusterSnapshot>, fresh: bool) -> Option<EncodedCluster> {
        let mut clusters = self.clusters.iter();
        let found = clusters.find(|known| known.fresh == fresh && Arc::ptr_eq(&known.of, of));
        found.cloned()
    }

    /// The whole exposition in parts that follow one another: these families, which are not copied, then `live`.
    pub(super) fn plain(&self, format: Format, live: &[Family]) -> Vec<Bytes> {
        let mut parts = Vec::new();
        self.for_each_family(|family, members| {
            parts.push(Bytes::from(family.head(format)));
            let lines = members
                .iter()
                .map(|(cluster, index)| &cluster.lines[*index]);
            parts.extend(lines.cloned());
        });
        parts.push(Bytes::from(live_text(format, live)));
        parts
    }

    /// The same as one gzip member, of which only `live` is compressed anew.
    pub(super) fn gzip(&self, format: Format, live: &[Family]) -> Bytes {
        let mut member = Member::new();
        self.for_each_family(|family, members| {
            member.store(&family.head(format));
            for (cluster, index) in members {
                member.append(&cluster.deflated()[*index]);
            }
        });
        member.finish(&live_text(format, live))
    }

    /// Calls with each family that has series, and with the clusters that have some.
    fn for_each_family(&self, mut write: impl FnMut(&Family, &[(&ClusterText, usize)])) {
        let families = self.clusters.iter().map(|c| c.text.families.len()).max();
        for index in 0..families.unwrap_or(0) {
            let with_series = |cluster: &&ClusterText| {
                let lines = cluster.lines.get(index);
                lines.is_some_and(|lines| !lines.is_empty())
            };
            let members: Vec<(&ClusterText, usize)> = self
                .clusters
                .iter()
                .map(|cluster| cluster.text.as_ref())
                .filter(with_series)
                .map(|cluster| (cluster, index))
                .collect();
            if let Some((cluster, _)) = members.first() {
                write(&cluster.families[index], &members);
            }
        }
    }
}

/// The families that are encoded per scrape, and the end.
fn live_text(format: Format, live: &[Family]) -> String {
    let mut text = String::new();
    for family in live.iter().filter(|family| !family.lines().is_empty()) {
        text.push_str(&family.head(format));
        text.push_str(family.lines());
    }
    text.push_str(format.end());
    text
}

/// A gzip member (RFC 1952) that grows.
struct Member {
    bytes: Vec<u8>,
    checksum: Crc,
}

impl Member {
    fn new() -> Self {
        Self {
            // No name, no time, unknown system.
            bytes: vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255],
            checksum: Crc::new(),
        }
    }

    fn append(&mut self, deflated: &Deflated) {
        self.bytes.extend_from_slice(&deflated.bytes);
        self.checksum.combine(&deflated.checksum);
    }

    /// Adds a short text as it is: setting up a compressor costs more than it would save.
    fn store(&mut self, text: &str) {
        for block in text.as_bytes().chunks(STORED_BLOCK) {
            let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
            self.bytes.push(0);
            self.bytes.extend_from_slice(&length.to_le_bytes());
            self.bytes.extend_from_slice(&(!length).to_le_bytes());
            self.bytes.extend_from_slice(block);
        }
        self.count(text);
    }

    fn count(&mut self, text: &str) {
        let mut checksum = Crc::new();
        checksum.update(text.as_bytes());
        self.checksum.combine(&checksum);
    }

    fn finish(mut self, last: &str) -> Bytes {
        self.count(last);
        let mut encoder = DeflateEncoder::new(self.bytes, Compression::fast());
        let finished = encoder
            .write_all(last.as_bytes())
            .and_then(|()| encoder.finish());
        let mut bytes = written_to_memory(finished);
        bytes.extend_from_slice(&self.checksum.sum().to_le_bytes());
        bytes.extend_from_slice(&self.checksum.amount().to_le_bytes());
        Bytes::from(bytes)
    }
}

/// Deflated text that ends on a byte boundary without ending the stream.
fn deflate(text: &[u8]) -> Deflated {
    let mut checksum = Crc::new();
    if text.is_empty() {
        let bytes = Vec::new();
        return Deflated { bytes, checksum };
    }
    checksum.update(text);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    written_to_memory(encoder.write_all(text));
    // A flush ends on a byte boundary; `finish` would end the stream.
    written_to_memory(encoder.flush());
    let bytes = std::mem::take(encoder.get_mut());
    Deflated { bytes, checksum }
}

fn written_to_memory<T>(result: io::Result<T>) -> T {
    #[expect(clippy::expect_used, reason = "a vector takes every byte")]
    result.expect("writing to memory cannot fail")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::domain::{BrokerHealth, System};
    use crate::metrics::text::{Kind, Labels, SeriesBudget};

    fn unzipped(member: &[u8]) -> String {
        let mut text = String::new();
        // A decoder of one member: a second one would be left over.
        let mut decoder = flate2::bufread::GzDecoder::new(member);
        decoder.read_to_string(&mut text).unwrap();
        assert!(decoder.into_inner().is_empty());
        text
    }

    fn family(name: &'static str, series: usize) -> Family {
        let mut family = Family::new(Kind::Gauge, name, "What it is.");
        let mut budget = SeriesBudget::new(series);
        for number in 0..series {
            let labels = Labels::new(&[("number", &number.to_string())]);
            family.set(&mut budget, &labels, 1.0);
        }
        family
    }

    fn exposition(clusters: &[[usize; 2]]) -> Exposition {
        let cluster = |[a, b]: &[usize; 2]| EncodedCluster {
            of: Arc::new(ClusterSnapshot {
                name: "k".into(),
                system: System::Kafka,
                health: BrokerHealth::default(),
                detail: None,
            }),
            fresh: true,
            text: Arc::new(ClusterText::new(
                vec![family("a", *a), family("b_seconds", *b)],
                a + b,
            )),
        };
        Exposition {
            clusters: clusters.iter().map(cluster).collect(),
        }
    }

    #[test]
    fn the_compressed_exposition_says_the_same() {
        for clusters in [&[][..], &[[0, 0]], &[[5000, 1], [0, 3], [2, 0]]] {
            let exposition = exposition(clusters);
            for live in [vec![], vec![family("c", 0)], vec![family("c", 4000)]] {
                for format in Format::ALL {
                    let plain = exposition.plain(format, &live);
                    let plain = String::from_utf8(plain.concat()).unwrap();
                    assert_eq!(unzipped(&exposition.gzip(format, &live)), plain);
                    assert_eq!(plain.ends_with("# EOF\n"), format == Format::OpenMetrics);
                }
            }
        }
    }

    #[test]
    fn a_family_of_several_clusters_has_one_head_and_no_gap() {
        let plain = exposition(&[[1, 1], [0, 0], [1, 1]]).plain(Format::Text, &[]);
        let text = String::from_utf8(plain.concat()).unwrap();
        let heads = ["# HELP a ", "# HELP b_seconds "];
        for head in heads {
            assert_eq!(text.matches(head).count(), 1, "{text}");
        }
        let first_of_b = text.find("# HELP b_seconds").unwrap();
        assert_eq!(text[..first_of_b].matches("\na{number").count(), 2);
    }
}
