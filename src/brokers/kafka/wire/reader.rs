//! Reads answers of a broker. Every length and every count is compared with the bytes that are left
//! before anything is allocated for it: the peer is not trusted.

use thiserror::Error;
use uuid::Uuid;

/// An answer that is not what the protocol says.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    #[error("the answer ends before its last field")]
    Truncated,
    #[error("a count or length exceeds the answer")]
    TooLong,
    #[error("a name is not UTF-8")]
    NotUtf8,
    #[error("it answers another request")]
    AnotherRequest,
    #[error("it would take more than {DECODED_LIMIT} bytes of memory")]
    TooMuch,
}

type Result<T> = std::result::Result<T, DecodeError>;

/// What the items of one answer may take in memory. A hostile answer of tiny items takes twenty times
/// its size; a real one, twice.
const DECODED_LIMIT: usize = 256 * 1024 * 1024;

/// A cursor over the bytes of one answer.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    left: &'a [u8],
    /// Bytes that items may still take in memory.
    allowance: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            left: bytes,
            allowance: DECODED_LIMIT,
        }
    }

    /// Bytes that were not read yet.
    pub(super) const fn remaining(&self) -> usize {
        self.left.len()
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, left) = self
            .left
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated)?;
        self.left = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, left) = self
            .left
            .split_first_chunk()
            .ok_or(DecodeError::Truncated)?;
        self.left = left;
        Ok(*taken)
    }

    pub(super) fn i8(&mut self) -> Result<i8> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    pub(super) fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub(super) fn uuid(&mut self) -> Result<Uuid> {
        Ok(Uuid::from_bytes(self.array()?))
    }

    /// An unsigned varint of at most 32 bits.
    fn varint(&mut self) -> Result<u32> {
        let mut value = 0_u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array::<1>()?;
            let bits = u32::from(byte & 0x7f);
            value |= bits.checked_shl(shift).ok_or(DecodeError::TooLong)?;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::TooLong)
    }

    /// The length of a compact field: one more than the length, 0 for null.
    fn compact_length(&mut self) -> Result<Option<usize>> {
        let raw = self.varint()?;
        Ok(raw.checked_sub(1).map(|length| length as usize))
    }

    /// A compact string; null is empty.
    pub(super) fn string(&mut self) -> Result<&'a str> {
        Ok(self.nullable_string()?.unwrap_or_default())
    }

    pub(super) fn nullable_string(&mut self) -> Result<Option<&'a str>> {
        match self.compact_length()? {
            None => Ok(None),
            Some(length) => text(self.bytes(length)?).map(Some),
        }
    }

    pub(super) fn compact_bytes(&mut self) -> Result<&'a [u8]> {
        match self.compact_length()? {
            None => Ok(&[]),
            Some(length) => self.bytes(length),
        }
    }

    /// Bytes with a 32-bit length; null is empty.
    pub(super) fn plain_bytes(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.i32()?).unwrap_or(0);
        self.bytes(length)
    }

    /// A string with a 16-bit length, as in the consumer protocol; null is empty.
    pub(super) fn short_string(&mut self) -> Result<&'a str> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        text(self.bytes(length)?)
    }

    /// Reads the items of a compact array with `item`, each of which takes at least `smallest` bytes.
    pub(super) fn items<T>(
        &mut self,
        smallest: usize,
        item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = self.compact_length()?.unwrap_or(0);
        self.counted(count, smallest, item)
    }

    /// The same for an array with a 32-bit count.
    pub(super) fn plain_items<T>(
        &mut self,
        smallest: usize,
        item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = usize::try_from(self.i32()?).unwrap_or(0);
        self.counted(count, smallest, item)
    }

    fn counted<T>(
        &mut self,
        count: usize,
        smallest: usize,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        if count > self.left.len() / smallest.max(1) {
            return Err(DecodeError::TooLong);
        }
        self.allowance = count
            .checked_mul(size_of::<T>())
            .and_then(|size| self.allowance.checked_sub(size))
            .ok_or(DecodeError::TooMuch)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Passes over an array whose items have a fixed size.
    pub(super) fn skip_items(&mut self, size: usize) -> Result<usize> {
        let count = self.compact_length()?.unwrap_or(0);
        let length = count.checked_mul(size).ok_or(DecodeError::TooLong)?;
        self.bytes(length)?;
        Ok(count)
    }

    /// Passes over the tagged fields that end every flexible structure.
    pub(super) fn tags(&mut self) -> Result<()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()? as usize;
            self.bytes(length)?;
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_beyond_the_answer_allocates_nothing() {
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
        assert_eq!(reader.items(1, Reader::i8), Err(DecodeError::TooLong));
        let mut reader = Reader::new(&[0x7f, 0xff, 0xff, 0xff, 0]);
        assert_eq!(reader.plain_items(1, Reader::i8), Err(DecodeError::TooLong));
    }

    #[test]
    fn many_tiny_items_do_not_fill_the_memory() {
        let count = 20 * 1024 * 1024_u32;
        let mut bytes = count.to_be_bytes().to_vec();
        bytes.resize(4 + count as usize, 0);
        let mut reader = Reader::new(&bytes);
        let item = |reader: &mut Reader<'_>| Ok([u64::from(reader.i8()?.unsigned_abs()), 0]);
        assert_eq!(
            reader.plain_items(1, item).err(),
            Some(DecodeError::TooMuch)
        );
    }

    #[test]
    fn null_and_empty_strings_differ() {
        assert_eq!(Reader::new(&[0]).nullable_string(), Ok(None));
        assert_eq!(Reader::new(&[1]).nullable_string(), Ok(Some("")));
        assert_eq!(
            Reader::new(&[3, b'a', b'b']).nullable_string(),
            Ok(Some("ab"))
        );
        assert_eq!(
            Reader::new(&[2, 0xff]).nullable_string(),
            Err(DecodeError::NotUtf8)
        );
    }

    #[test]
    fn a_varint_of_more_than_32_bits_is_refused() {
        assert!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x01])
                .varint()
                .is_err()
        );
        assert_eq!(Reader::new(&[0xac, 0x02]).varint(), Ok(300));
    }
}
