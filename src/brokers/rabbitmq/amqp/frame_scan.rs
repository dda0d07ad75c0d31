//! Makes frames harmless to lapin's parser, in place, without recursion and without allocation.
//!
//! The parser recurses into header tables, some ten kilobytes of stack a level, and it ends the
//! connection over a name that is not UTF-8. So a message of a few kilobytes, which anybody may publish
//! who may publish at all, would kill the process, and again at each redelivery. Both are repaired
//! without changing the length of anything: an array or a table below [`MOST_HEADER_NESTING`] becomes a
//! byte array with the same bytes, and each byte that is not UTF-8 becomes a question mark.

use crate::domain::MOST_HEADER_NESTING;

/// Why a frame is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Whether a frame had to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scan {
    Untouched,
    Repaired,
}

const CONNECTION_START: [u8; 4] = [0, 10, 0, 10];
const BASIC_RETURN: [u8; 4] = [0, 60, 0, 50];
const BASIC_DELIVER: [u8; 4] = [0, 60, 0, 60];

/// A frame that carries a method: only what holds tables or an application's names is read.
pub(super) fn scan_method(payload: &mut [u8]) -> Result<Scan, Malformed> {
    let method: [u8; 4] = payload
        .get(..4)
        .ok_or(Malformed)?
        .try_into()
        .map_err(|_| Malformed)?;
    let mut cursor = Cursor::new(payload);
    cursor.skip(4)?;
    match method {
        CONNECTION_START => {
            cursor.skip(2)?;
            cursor.table()?;
        }
        BASIC_DELIVER => {
            cursor.short_string()?;
            cursor.skip(9)?;
            cursor.short_string()?;
            cursor.short_string()?;
        }
        BASIC_RETURN => {
            cursor.skip(2)?;
            cursor.short_string()?;
            cursor.short_string()?;
            cursor.short_string()?;
        }
        _ => {}
    }
    Ok(cursor.scan)
}

/// What a content header's property flags announce, in their order from the highest bit.
#[derive(Clone, Copy)]
enum Property {
    Text,
    Table,
    Fixed(usize),
}

const PROPERTIES: [Property; 14] = [
    Property::Text,     // content-type
    Property::Text,     // content-encoding
    Property::Table,    // headers
    Property::Fixed(1), // delivery-mode
    Property::Fixed(1), // priority
    Property::Text,     // correlation-id
    Property::Text,     // reply-to
    Property::Text,     // expiration
    Property::Text,     // message-id
    Property::Fixed(8), // timestamp
    Property::Text,     // type
    Property::Text,     // user-id
    Property::Text,     // app-id
    Property::Text,     // cluster-id
];

/// A frame that carries the properties of a message.
pub(super) fn scan_content_header(payload: &mut [u8]) -> Result<Scan, Malformed> {
    // Class, weight and body size come first.
    let flags = payload.get(12..14).ok_or(Malformed)?;
    let flags = u16::from_be_bytes([flags[0], flags[1]]);
    let mut cursor = Cursor::new(payload);
    cursor.skip(14)?;
    for (place, property) in PROPERTIES.iter().enumerate() {
        if flags & (0x8000 >> place) == 0 {
            continue;
        }
        match property {
            Property::Text => cursor.short_string()?,
            Property::Table => cursor.table()?,
            Property::Fixed(length) => cursor.skip(*length)?,
        }
    }
    Ok(cursor.scan)
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Container {
    #[default]
    Array,
    Table,
}

struct Cursor<'a> {
    bytes: &'a mut [u8],
    at: usize,
    scan: Scan,
}

impl<'a> Cursor<'a> {
    const fn new(bytes: &'a mut [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            scan: Scan::Untouched,
        }
    }

    fn take(&mut self, length: usize) -> Result<&mut [u8], Malformed> {
        let end = self.at.checked_add(length).ok_or(Malformed)?;
        let taken = self.bytes.get_mut(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn skip(&mut self, length: usize) -> Result<(), Malformed> {
        self.take(length).map(drop)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        let length = self.take(4)?;
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        usize::try_from(length).map_err(|_| Malformed)
    }

    fn short_string(&mut self) -> Result<(), Malformed> {
        let length = usize::from(self.take(1)?[0]);
        if made_utf8(self.take(length)?) {
            self.scan = Scan::Repaired;
        }
        Ok(())
    }

    /// A table with all that is in it.
    fn table(&mut self) -> Result<(), Malformed> {
        let mut open = [(Container::default(), 0_usize); MOST_HEADER_NESTING];
        let length = self.length()?;
        open[0] = (Container::Table, self.at + length);
        let mut depth = 1;
        while depth > 0 {
            let (container, end) = open[depth - 1];
            if self.at >= end {
                // Whoever lies about a length inside is not let through.
                if self.at > end {
                    return Err(Malformed);
                }
                depth -= 1;
                continue;
            }
            if container == Container::Table {
                self.short_string()?;
            }
            let Some(inner) = self.value(depth < MOST_HEADER_NESTING)? else {
                continue;
            };
            let length = self.length()?;
            open[depth] = (inner, self.at + length);
            depth += 1;
        }
        Ok(())
    }

    /// Passes a value, or answers what kind of container begins here if it may be entered.
    fn value(&mut self, may_enter: bool) -> Result<Option<Container>, Malformed> {
        let kind = &mut self.take(1)?[0];
        let length = match kind {
            b'A' if may_enter => return Ok(Some(Container::Array)),
            b'F' if may_enter => return Ok(Some(Container::Table)),
            b'A' | b'F' => {
                *kind = b'x';
                self.scan = Scan::Repaired;
                self.length()?
            }
            b'S' | b'x' => self.length()?,
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'L' | b'l' | b'd' | b'T' => 8,
            _ => return Err(Malformed),
        };
        self.skip(length)?;
        Ok(None)
    }
}

/// Replaces each byte that is not UTF-8; whether there was one.
fn made_utf8(bytes: &mut [u8]) -> bool {
    let mut changed = false;
    while let Err(error) = std::str::from_utf8(bytes) {
        bytes[error.valid_up_to()] = b'?';
        changed = true;
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [length.as_slice(), bytes].concat()
    }

    fn named(name: &[u8], value: &[u8]) -> Vec<u8> {
        [&[u8::try_from(name.len()).unwrap()], name, value].concat()
    }

    /// `levels` containers around a void.
    fn nested(kind: u8, levels: usize) -> Vec<u8> {
        (0..levels).fold(b"V".to_vec(), |inner, _| {
            let inner = if kind == b'F' {
                named(b"", &inner)
            } else {
                inner
            };
            [&[kind], long(&inner).as_slice()].concat()
        })
    }

    fn header_with(table: &[u8]) -> Vec<u8> {
        let before = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x20, 0];
        [before.as_slice(), long(table).as_slice()].concat()
    }

    #[test]
    fn ordinary_headers_pass_as_they_are() {
        let values: [&[u8]; 17] = [
            b"t\x01",
            b"b\x01",
            b"B\x01",
            b"s\x01\x02",
            b"u\x01\x02",
            b"I\0\0\0\x01",
            b"i\0\0\0\x01",
            b"l\0\0\0\0\0\0\0\x01",
            b"L\0\0\0\0\0\0\0\x01",
            b"f\0\0\0\0",
            b"d\0\0\0\0\0\0\0\0",
            b"D\x02\0\0\x01\x3a",
            b"S\0\0\0\x02\xff\0",
            b"T\0\0\0\0\0\0\0\x01",
            b"x\0\0\0\x01\xff",
            b"V",
            &nested(b'A', 3),
        ];
        let table: Vec<u8> = values
            .iter()
            .flat_map(|value| named(b"name", value))
            .collect();
        let mut header = header_with(&table);
        let before = header.clone();
        assert_eq!(scan_content_header(&mut header), Ok(Scan::Untouched));
        assert_eq!(header, before);
    }

    #[test]
    fn what_lies_too_deep_becomes_bytes_of_the_same_length() {
        for kind in [b'A', b'F'] {
            let check = |levels: usize, expected: Scan| {
                let mut header = header_with(&named(b"deep", &nested(kind, levels)));
                let before = header.clone();
                assert_eq!(scan_content_header(&mut header), Ok(expected), "{levels}");
                let changed: Vec<_> = before.iter().zip(&header).filter(|(a, b)| a != b).collect();
                assert_eq!(changed.len(), usize::from(expected == Scan::Repaired));
                assert!(
                    changed
                        .iter()
                        .all(|(old, new)| **old == kind && **new == b'x')
                );
            };
            check(MOST_HEADER_NESTING - 1, Scan::Untouched);
            check(MOST_HEADER_NESTING, Scan::Repaired);
            check(25_000, Scan::Repaired);
        }
    }

    #[test]
    fn names_become_utf8() {
        let mut header = header_with(&named(b"a\xff\xc3\xa4", b"V"));
        assert_eq!(scan_content_header(&mut header), Ok(Scan::Repaired));
        assert!(header.windows(4).any(|window| window == b"a?\xc3\xa4"));
        let deliver = [
            &BASIC_DELIVER,
            b"\x01t\0\0\0\0\0\0\0\x01\0\x01e\x01\xff".as_slice(),
        ];
        let mut deliver = deliver.concat();
        assert_eq!(scan_method(&mut deliver), Ok(Scan::Repaired));
        assert_eq!(deliver.last(), Some(&b'?'));
    }

    #[test]
    fn lies_about_lengths_are_not_let_through() {
        let check = |table: &[u8]| {
            assert_eq!(
                scan_content_header(&mut header_with(table)),
                Err(Malformed),
                "{table:?}"
            );
        };
        check(&named(b"n", b"S\xff\xff\xff\xff"));
        check(&named(b"n", b"A\0\0\0\x01I\0\0\0\x01"));
        check(&named(b"n", b"?"));
        check(&named(b"n", b"I\0"));
        check(b"\xff");
        assert_eq!(scan_content_header(&mut [0; 13]), Err(Malformed));
        assert_eq!(scan_method(&mut [0, 10, 0]), Err(Malformed));
        assert_eq!(scan_method(&mut CONNECTION_START.clone()), Err(Malformed));
    }

    #[test]
    fn what_passes_survives_the_store() {
        use crate::domain::{AmqpValue, Header, Message};
        let deepest = (0..MOST_HEADER_NESTING).fold(AmqpValue::Void, |inner, _| {
            AmqpValue::Table(vec![("n".to_owned(), inner)])
        });
        let message = Message {
            headers: vec![Header::amqp("deep", deepest)],
            ..Message::default()
        };
        let stored = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<Message>(&stored).unwrap(), message);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes: Vec<u8>) {
            let _ = scan_method(&mut bytes.clone());
            let _ = scan_content_header(&mut bytes);
        }
    }
}
