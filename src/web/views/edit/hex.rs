//! Bytes as a hex dump that can be edited: the offset and the text beside the bytes are for reading,
//! the bytes in the middle are what counts.

use std::fmt::Write as _;

use bytes::Bytes;

/// Bytes in one row.
const ROW: usize = 16;

/// The dump: `00000000  68 65 6c …  |hel…|`.
pub(super) fn dump(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(ROW) * 79);
    for (row, chunk) in bytes.chunks(ROW).enumerate() {
        let _ = write!(text, "{:08x}  ", row * ROW);
        for index in 0..ROW {
            match chunk.get(index) {
                Some(byte) => {
                    let _ = write!(text, "{byte:02x} ");
                }
                None => text.push_str("   "),
            }
            if index == 7 {
                text.push(' ');
            }
        }
        text.push_str(" |");
        text.extend(chunk.iter().map(|byte| match byte {
            0x20..0x7f => char::from(*byte),
            _ => '.',
        }));
        text.push_str("|\n");
    }
    text
}

/// The bytes of a dump, with or without offsets and text. The error names the line.
pub(super) fn parse(text: &str) -> Result<Bytes, String> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    for (index, line) in text.lines().enumerate() {
        let line = line.split('|').next().unwrap_or("");
        for word in without_offset(line).split_ascii_whitespace() {
            append(&mut bytes, word).map_err(|wrong| {
                format!(
                    "line {}: {word:?} {wrong}; write bytes as two hex digits each, such as 0a ff",
                    index + 1
                )
            })?;
        }
    }
    Ok(Bytes::from(bytes))
}

/// An offset has at least eight digits and is set apart by a colon or by two spaces.
fn without_offset(line: &str) -> &str {
    let line = line.trim();
    let digits = line.bytes().take_while(u8::is_ascii_hexdigit).count();
    let rest = &line[digits..];
    let is_offset = digits >= 8 && (rest.starts_with("  ") || rest.starts_with(':'));
    if is_offset { &rest[1..] } else { line }
}

fn append(bytes: &mut Vec<u8>, word: &str) -> Result<(), &'static str> {
    let digits: Option<Vec<u8>> = word.chars().map(digit).collect();
    let digits = digits.ok_or("is not hexadecimal")?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("has an odd number of digits");
    }
    bytes.extend(pairs.iter().map(|[high, low]| high << 4 | low));
    Ok(())
}

fn digit(character: char) -> Option<u8> {
    character
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_dump_gives_its_bytes_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(parse(&dump(&bytes)).unwrap(), bytes);
        }
    }

    #[test]
    fn bytes_are_read_however_they_are_grouped() {
        let check = |text: &str, expected: &[u8]| {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        };
        check("", b"");
        check("deadBEEF", b"\xde\xad\xbe\xef");
        check("de ad\nbe ef", b"\xde\xad\xbe\xef");
        check("00000010: 6869 |ignored 00|", b"hi");
        check("00000010  68 69  |zz|", b"hi");
        check(
            "0000001011223344 55",
            b"\x00\x00\x00\x10\x11\x22\x33\x44\x55",
        );
    }

    #[test]
    fn a_mistake_names_its_line() {
        let check = |text: &str, expected: &str| {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("00\nabc", "line 2: \"abc\" has an odd number");
        check("zz", "line 1: \"zz\" is not hexadecimal");
        check("é", "is not hexadecimal");
    }
}
