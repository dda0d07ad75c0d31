//! What a dialect is: who writes it, by what it is recognised, what its headers mean, and what a
//! replay does with them.

use super::Account;
use crate::domain::{HeaderValue, Message, System};

/// One framework's way to write on a dead letter.
pub(super) struct Dialect {
    /// As in [`crate::domain::Hop::dialect`].
    pub(super) name: &'static str,
    /// For people.
    pub(super) title: &'static str,
    /// The only system on which it is written; `None` for both.
    pub(super) system: Option<System>,
    /// Without it, neither the decoder nor the meanings of the headers apply: many names are common
    /// words of applications.
    pub(super) sign: Sign,
    /// Every header that it writes or that it must not find on a replay.
    pub(super) headers: &'static [KnownHeader],
    /// Reads what is there; gets the DLQ as well, whose name some frameworks give a meaning.
    pub(super) decode: fn(&str, &Message) -> Option<Account>,
}

impl Dialect {
    pub(super) fn is_present(&self, system: System, message: &Message) -> bool {
        self.system.is_none_or(|own| own == system) && self.sign.is_on(message)
    }

    pub(super) fn header(&self, name: &[u8]) -> Option<&'static KnownHeader> {
        self.headers.iter().find(|known| known.matches(name))
    }
}

/// By what a dialect is recognised. A name that ends in `*` stands for all that begin so.
pub(super) enum Sign {
    AnyOf(&'static [&'static str]),
    AllOf(&'static [&'static str]),
    /// What is in the properties or the body.
    Test(fn(&Message) -> bool),
}

impl Sign {
    fn is_on(&self, message: &Message) -> bool {
        let has = |pattern: &&str| {
            let mut headers = message.headers.iter();
            headers.any(|header| name_matches(pattern, &header.name))
        };
        match self {
            Self::AnyOf(patterns) => patterns.iter().any(has),
            Self::AllOf(patterns) => patterns.iter().all(has),
            Self::Test(test) => test(message),
        }
    }
}

/// A header whose meaning is known.
pub(super) struct KnownHeader {
    /// A name, or with `*` at its end how names begin.
    pub(super) name: &'static str,
    /// For people: what it holds, without a full stop.
    pub(super) meaning: &'static str,
    pub(super) on_replay: OnReplay,
    /// Reads the number that is written as bytes; `None` if the header holds none.
    pub(super) number: Option<fn(&HeaderValue) -> Option<i64>>,
}

/// What a replay does with a header. Reasons are for people, without a full stop.
pub(super) enum OnReplay {
    Keep,
    Strip(&'static str),
    /// Several of the name would confuse the consumer; the last is the effective one.
    KeepLast(&'static str),
    /// Goes along with another value; `None` from the function leaves it as it is.
    Change(&'static str, fn(&HeaderValue) -> Option<HeaderValue>),
}

const ERROR: &str = "describes the death, which the replay is to undo";
const RETRY_COUNTER: &str =
    "the consumer's retry counter; with it the consumer would give up at once";

impl KnownHeader {
    /// Part of the story of the death.
    pub(super) const fn error(name: &'static str, meaning: &'static str) -> Self {
        Self::stripped(name, meaning, ERROR)
    }

    /// A counter by which a consumer decides to give up.
    pub(super) const fn retry_counter(name: &'static str, meaning: &'static str) -> Self {
        Self::stripped(name, meaning, RETRY_COUNTER)
    }

    pub(super) const fn kept(name: &'static str, meaning: &'static str) -> Self {
        let on_replay = OnReplay::Keep;
        Self {
            name,
            meaning,
            on_replay,
            number: None,
        }
    }

    pub(super) const fn stripped(
        name: &'static str,
        meaning: &'static str,
        reason: &'static str,
    ) -> Self {
        Self {
            name,
            meaning,
            on_replay: OnReplay::Strip(reason),
            number: None,
        }
    }

    pub(super) const fn with_number(self, read: fn(&HeaderValue) -> Option<i64>) -> Self {
        Self {
            number: Some(read),
            ..self
        }
    }

    pub(super) fn matches(&self, name: &[u8]) -> bool {
        name_matches(self.name, name)
    }
}

fn name_matches(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix.as_bytes()),
        None => pattern.as_bytes() == name,
    }
}
