//! Bytes in the store that only sampling reads: a version, then zlib, whose checksum finds damage. What was
//! read is never trusted further than it is long.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use thiserror::Error;

/// The only layout so far. Another one gets another number, and rows of the one before are left out.
const VERSION: u8 = 1;

/// No page that Redrive writes is larger.
pub(super) const LARGEST_PAGE: usize = 8 * 1024 * 1024;

/// Why a row of the store is left out.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum Unreadable {
    #[error("it is damaged")]
    Damaged,
    #[error("it has layout {0}, which this version does not know")]
    Version(u8),
}

pub(super) fn pack(raw: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(vec![VERSION], Compression::fast());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(raw);
    encoder.finish().unwrap_or_default()
}

pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let packed = match packed.split_first() {
        Some((&VERSION, packed)) => packed,
        Some((version, _)) => return Err(Unreadable::Version(*version)),
        None => return Err(Unreadable::Damaged),
    };
    let mut raw = Vec::new();
    let mut decoder = ZlibDecoder::new(packed).take(LARGEST_PAGE as u64 + 1);
    match decoder.read_to_end(&mut raw) {
        Ok(length) if length <= LARGEST_PAGE => Ok(raw),
        _ => Err(Unreadable::Damaged),
    }
}

/// Reads what [`put`] and its kin wrote; `None` where the bytes end too early or mean nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    /// A number in groups of seven bits, the lowest first.
    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            number |= bits.checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return (number >> shift == bits).then_some(number);
            }
        }
        None
    }

    /// A number that is at most `limit`.
    pub(super) fn number_up_to(&mut self, limit: usize) -> Option<usize> {
        let number = usize::try_from(self.number()?).ok()?;
        (number <= limit).then_some(number)
    }
}

pub(super) fn put(raw: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        raw.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    raw.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut raw = Vec::new();
            put(&mut raw, number);
            let mut reader = Reader(&raw);
            assert_eq!(reader.number(), Some(number));
            assert!(reader.is_empty());
            assert_eq!(Reader(&raw[..raw.len() - 1]).number(), None, "{number}");
        }
        assert_eq!(Reader(&[0xff; 12]).number(), None, "more than 64 bits");
        assert_eq!(Reader(&[5]).number_up_to(4), None);
    }

    #[test]
    fn what_is_damaged_or_of_another_layout_is_not_read() {
        let packed = pack(b"twelve points");
        assert_eq!(unpack(&packed).unwrap(), b"twelve points");
        let check = |bytes: &[u8], expected| assert_eq!(unpack(bytes), Err(expected), "{bytes:?}");
        check(b"", Unreadable::Damaged);
        check(&[VERSION], Unreadable::Damaged);
        check(b"{\"json\": true}", Unreadable::Version(b'{'));
        check(&packed[..packed.len() - 1], Unreadable::Damaged);
        for index in 3..packed.len() {
            let mut flipped = packed.clone();
            flipped[index] ^= 1;
            let read = unpack(&flipped);
            assert!(
                read.is_err() || read.unwrap() == b"twelve points",
                "{index}"
            );
        }
        let bomb = pack(&vec![0; LARGEST_PAGE + 1]);
        check(&bomb, Unreadable::Damaged);
    }
}
