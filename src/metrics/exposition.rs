//! What `/metrics` serves: the part encoded once per sample, and the small part encoded per scrape.

use std::io::{self, Write as _};
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// The families of one snapshot as text, compressed at most once and only if somebody asks.
#[derive(Debug, Default)]
pub(super) struct SampledText {
    families: Vec<String>,
    compressed: OnceLock<CompressedPrefix>,
}

/// Deflated text that ends on a byte boundary, so that another deflated text may follow.
#[derive(Debug)]
struct CompressedPrefix {
    deflated: Vec<u8>,
    checksum: Crc,
}

impl SampledText {
    pub(super) fn new(families: impl IntoIterator<Item = String>) -> Self {
        Self {
            families: families
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect(),
            compressed: OnceLock::new(),
        }
    }

    /// The whole exposition: this text, then `live`.
    pub(super) fn plain(&self, live: &str) -> Bytes {
        let length = self.families.iter().map(String::len).sum::<usize>() + live.len();
        let mut text = Vec::with_capacity(length);
        for family in &self.families {
            text.extend_from_slice(family.as_bytes());
        }
        text.extend_from_slice(live.as_bytes());
        Bytes::from(text)
    }

    /// The same as one gzip member, of which only `live` is compressed anew.
    pub(super) fn gzip(&self, live: &str) -> Bytes {
        let prefix = self.compressed.get_or_init(|| self.compress());
        // No name, no time, unknown system (RFC 1952).
        let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        member.extend_from_slice(&prefix.deflated);
        let mut encoder = DeflateEncoder::new(member, Compression::fast());
        let finished = encoder
            .write_all(live.as_bytes())
            .and_then(|()| encoder.finish());
        let mut member = written_to_memory(finished);
        let mut live_checksum = Crc::new();
        live_checksum.update(live.as_bytes());
        let mut checksum = Crc::new();
        checksum.combine(&prefix.checksum);
        checksum.combine(&live_checksum);
        member.extend_from_slice(&checksum.sum().to_le_bytes());
        member.extend_from_slice(&checksum.amount().to_le_bytes());
        Bytes::from(member)
    }

    fn compress(&self) -> CompressedPrefix {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        let mut checksum = Crc::new();
        for family in &self.families {
            checksum.update(family.as_bytes());
            written_to_memory(encoder.write_all(family.as_bytes()));
        }
        // A flush ends on a byte boundary without ending the stream, which `finish` would.
        written_to_memory(encoder.flush());
        let deflated = std::mem::take(encoder.get_mut());
        CompressedPrefix { deflated, checksum }
    }
}

fn written_to_memory<T>(result: io::Result<T>) -> T {
    #[expect(clippy::expect_used, reason = "a vector takes every byte")]
    result.expect("writing to memory cannot fail")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn unzipped(member: &[u8]) -> String {
        let mut text = String::new();
        // A decoder of one member: a second one would be left over.
        let mut decoder = flate2::bufread::GzDecoder::new(member);
        decoder.read_to_string(&mut text).unwrap();
        assert!(decoder.into_inner().is_empty());
        text
    }

    #[test]
    fn the_compressed_exposition_says_the_same() {
        let long = "kafka_consumer_group_lag{group=\"a\"} 1\n".repeat(5000);
        for sampled in [
            vec![],
            vec![String::new(), long.clone(), "b 2\n".to_owned()],
        ] {
            let sampled = SampledText::new(sampled);
            for live in ["", "c 3\n", long.as_str()] {
                let plain = String::from_utf8(sampled.plain(live).to_vec()).unwrap();
                assert_eq!(unzipped(&sampled.gzip(live)), plain);
            }
        }
    }
}
