//! Symfony Messenger with its default serializer: the whole envelope, stamps included, is PHP's own
//! serialisation in the body, with its quotes and zero bytes escaped. Read for what the stamps tell; a
//! replay carries it as it is.

use super::Account;
use super::dialect::{Dialect, Sign};
use super::symfony::{ErrorStamp, FailedStamp, RedeliveryStamp, account};
use crate::domain::Message;

/// A larger body is not searched.
const LARGEST_BODY: usize = 1024 * 1024;
/// A value that lies deeper belongs to the application, and is not read.
const DEEPEST: usize = 64;
/// Values of one body beyond which it is left unread.
const MOST_VALUES: usize = 100_000;

const ENVELOPE: &str = r#"O:36:\"Symfony\\Component\\Messenger\\Envelope\":"#;
const STAMP: &str = "Symfony\\Component\\Messenger\\Stamp\\";

pub(super) const DIALECT: Dialect = Dialect {
    name: "symfony-php",
    title: "Symfony Messenger, PHP serialisation",
    system: None,
    sign: Sign::Test(is_envelope),
    headers: &[],
    decode,
};

fn is_envelope(message: &Message) -> bool {
    let body = message.body.as_deref().unwrap_or_default();
    body.starts_with(ENVELOPE.as_bytes()) && body.len() <= LARGEST_BODY
}

fn decode(_: &str, message: &Message) -> Option<Account> {
    let text = without_slashes(message.body.as_deref()?);
    let mut reader = Reader {
        rest: &text,
        values: 0,
    };
    let envelope = reader.value(0)?;
    let stamps = envelope.property("stamps")?;
    let last = |name: &str| {
        let all = stamps.field(&format!("{STAMP}{name}"))?;
        all.fields()?.last().map(|(_, stamp)| stamp)
    };
    let text = |stamp: &Php, name| stamp.property(name)?.text();
    let failed = last("SentToFailureTransportStamp").map(|stamp| FailedStamp {
        original_receiver_name: text(stamp, "originalReceiverName"),
    });
    let error = last("ErrorDetailsStamp").map(|stamp| ErrorStamp {
        exception_class: text(stamp, "exceptionClass"),
        exception_message: text(stamp, "exceptionMessage"),
    });
    let redelivery = last("RedeliveryStamp").map(|stamp| RedeliveryStamp {
        retry_count: text(stamp, "retryCount").and_then(|count| count.parse().ok()),
        redelivered_at: stamp.property("redeliveredAt").and_then(utc_time),
    });
    account(DIALECT.name, failed, error, redelivery)
}

/// PHP's `addslashes`, undone: `\0` is a zero byte.
fn without_slashes(body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(body.len());
    let mut bytes = body.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'0') => 0,
                Some(&escaped) => escaped,
                None => break,
            },
            other => other,
        });
    }
    plain
}

/// `2026-11-24 02:00:00.500000` with the time zone UTC, as RFC 3339; another zone needs PHP's own tables.
fn utc_time(date_time: &Php) -> Option<String> {
    let zone = date_time.property("timezone")?.text()?;
    let is_utc = ["UTC", "Z", "+00:00"].contains(&zone.as_str());
    let date = date_time.property("date")?.text()?;
    is_utc.then(|| format!("{}Z", date.replacen(' ', "T", 1)))
}

enum Php<'a> {
    Text(&'a [u8]),
    /// A number or a truth value, as it is written.
    Scalar(&'a [u8]),
    /// An array or the properties of an object.
    Fields(Vec<(&'a [u8], Php<'a>)>),
    Null,
}

impl<'a> Php<'a> {
    fn text(&self) -> Option<String> {
        match self {
            Self::Text(bytes) | Self::Scalar(bytes) => {
                Some(String::from_utf8_lossy(bytes).into_owned())
            }
            Self::Fields(_) | Self::Null => None,
        }
    }

    fn fields(&self) -> Option<&[(&'a [u8], Php<'a>)]> {
        match self {
            Self::Fields(fields) => Some(fields),
            _ => None,
        }
    }

    fn field(&self, name: &str) -> Option<&Php<'a>> {
        let mut fields = self.fields()?.iter();
        fields
            .find(|(own, _)| *own == name.as_bytes())
            .map(|(_, value)| value)
    }

    /// A property, whose name is `\0class\0name` if it is private.
    fn property(&self, name: &str) -> Option<&Php<'a>> {
        let mut fields = self.fields()?.iter();
        let is_it = |own: &[u8]| own.rsplit(|byte| *byte == 0).next() == Some(name.as_bytes());
        fields.find(|(own, _)| is_it(own)).map(|(_, value)| value)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    values: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Option<Php<'a>> {
        self.values += 1;
        if depth > DEEPEST || self.values > MOST_VALUES {
            return None;
        }
        let kind = self.take(1)?;
        match kind {
            b"N" => self.literal(b";").map(|()| Php::Null),
            b"i" | b"d" | b"b" | b"r" | b"R" => {
                self.literal(b":")?;
                self.until(b';').map(Php::Scalar)
            }
            b"s" | b"E" => {
                self.literal(b":")?;
                let text = self.counted_text()?;
                self.literal(b";")?;
                Some(Php::Text(text))
            }
            b"a" => {
                self.literal(b":")?;
                self.fields(depth)
            }
            b"O" => {
                self.literal(b":")?;
                self.counted_text()?;
                self.literal(b":")?;
                self.fields(depth)
            }
            _ => None,
        }
    }

    /// `2:{key value key value}`.
    fn fields(&mut self, depth: usize) -> Option<Php<'a>> {
        let count = self.number()?;
        self.literal(b"{")?;
        let mut fields = Vec::new();
        for _ in 0..count {
            let key = match self.value(depth + 1)? {
                Php::Text(key) | Php::Scalar(key) => key,
                Php::Fields(_) | Php::Null => return None,
            };
            fields.push((key, self.value(depth + 1)?));
        }
        self.literal(b"}")?;
        Some(Php::Fields(fields))
    }

    /// `5:"async"`.
    fn counted_text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.literal(b"\"")?;
        let text = self.take(length)?;
        self.literal(b"\"")?;
        Some(text)
    }

    /// A number and the colon behind it.
    fn number(&mut self) -> Option<usize> {
        std::str::from_utf8(self.until(b':')?).ok()?.parse().ok()
    }

    fn until(&mut self, end: u8) -> Option<&'a [u8]> {
        let length = self.rest.iter().position(|byte| *byte == end)?;
        let found = self.take(length)?;
        self.take(1)?;
        Some(found)
    }

    fn literal(&mut self, expected: &[u8]) -> Option<()> {
        (self.take(expected.len())? == expected).then_some(())
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AttemptsKind, Timestamp};

    /// What PHP writes of an envelope with one stamp of each kind, before `addslashes`.
    fn envelope() -> String {
        let stamp = |name: &str, properties: &str| {
            let class = format!("{STAMP}{name}");
            let length = class.len();
            format!("s:{length}:\"{class}\";a:1:{{i:0;O:{length}:\"{class}\":{properties}}}")
        };
        let private = |class: &str, name: &str, value: &str| {
            let property = format!("\0{STAMP}{class}\0{name}");
            format!("s:{}:\"{property}\";{value}", property.len())
        };
        let [failed, error, redelivery] = [
            "SentToFailureTransportStamp",
            "ErrorDetailsStamp",
            "RedeliveryStamp",
        ];
        let stamps = [
            stamp(
                failed,
                &format!(
                    "1:{{{}}}",
                    private(failed, "originalReceiverName", "s:5:\"async\";")
                ),
            ),
            stamp(
                error,
                &format!(
                    "3:{{{}{}{}}}",
                    private(error, "exceptionClass", "s:11:\"App\\NoStock\";"),
                    private(error, "exceptionCode", "i:0;"),
                    private(error, "exceptionMessage", "s:8:\"no \"one\"\";"),
                ),
            ),
            stamp(
                redelivery,
                &format!(
                    "2:{{{}{}}}",
                    private(redelivery, "retryCount", "i:3;"),
                    private(
                        redelivery,
                        "redeliveredAt",
                        "O:17:\"DateTimeImmutable\":3:{s:4:\"date\";s:26:\"2026-11-24 02:00:00.500000\";\
                         s:13:\"timezone_type\";i:3;s:8:\"timezone\";s:3:\"UTC\";}",
                    ),
                ),
            ),
        ];
        let class = "Symfony\\Component\\Messenger\\Envelope";
        format!(
            "O:36:\"{class}\":2:{{s:44:\"\0{class}\0stamps\";a:3:{{{}}}s:45:\"\0{class}\0message\";\
             O:9:\"App\\Order\":2:{{s:2:\"id\";s:8:\"ord-4711\";s:4:\"note\";N;}}}}",
            stamps.concat()
        )
    }

    fn message(serialised: &str) -> Message {
        let slashed = serialised
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\0', "\\0");
        Message {
            body: Some(slashed.into()),
            ..Message::default()
        }
    }

    #[test]
    fn the_stamps_tell_the_death() {
        let dead = message(&envelope());
        assert!(is_envelope(&dead));
        let found = decode("failed", &dead).unwrap().decoded;
        assert_eq!(found.origin.endpoint.as_deref(), Some("async"));
        assert_eq!(found.failure.class.as_deref(), Some("App\\NoStock"));
        assert_eq!(found.failure.message.as_deref(), Some("no \"one\""));
        assert_eq!(found.attempts, Some((3, AttemptsKind::Retries)));
        let at = Timestamp::parse_rfc3339("2026-11-24T02:00:00.500Z");
        assert_eq!(found.last_failed_at, at);
    }

    #[test]
    fn what_breaks_off_or_lies_too_deep_is_not_read() {
        let whole = envelope();
        for end in (0..whole.len()).filter(|end| whole.is_char_boundary(*end)) {
            assert!(
                decode("failed", &message(&whole[..end])).is_none(),
                "{end} bytes"
            );
        }
        let deep = "a:1:{i:0;".repeat(100_000);
        assert!(decode("failed", &message(&deep)).is_none());
        let huge = "O:18446744073709551615:\"";
        assert!(decode("failed", &message(huge)).is_none());
    }
}
