use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

use super::{AttemptsKind, DeathReason, Decoded, Timestamp};

/// What a replay tells of the death that it undoes. Engines read thousands a second, so it is read out of the JSON
/// of [`Decoded`] without the hops, which say most of it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LastDeath {
    pub origin: DeathPlace,
    pub failure: DeathCause,
    pub reason: DeathReason,
    pub attempts: Option<(u64, AttemptsKind)>,
    pub last_failed_at: Option<Timestamp>,
    /// The headers say something of it.
    #[serde(rename = "hops", deserialize_with = "has_any")]
    pub is_told: bool,
}

/// Of [`super::Origin`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DeathPlace {
    pub destination: Option<String>,
    pub timestamp: Option<Timestamp>,
}

/// Of [`super::Failure`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DeathCause {
    pub class: Option<String>,
    pub message: Option<String>,
}

impl From<&Decoded> for LastDeath {
    fn from(decoded: &Decoded) -> Self {
        Self {
            origin: DeathPlace {
                destination: decoded.origin.destination.clone(),
                timestamp: decoded.origin.timestamp,
            },
            failure: DeathCause {
                class: decoded.failure.class.clone(),
                message: decoded.failure.message.clone(),
            },
            reason: decoded.reason,
            attempts: decoded.attempts,
            last_failed_at: decoded.last_failed_at,
            is_told: !decoded.hops.is_empty(),
        }
    }
}

/// Whether a list has an element.
fn has_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct Elements;

    impl<'de> Visitor<'de> for Elements {
        type Value = bool;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
            let mut any = false;
            while elements.next_element::<IgnoredAny>()?.is_some() {
                any = true;
            }
            Ok(any)
        }
    }

    deserializer.deserialize_seq(Elements)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Failure, Hop, Origin};

    #[test]
    fn what_is_read_of_the_json_is_what_the_whole_says() {
        let told = Decoded {
            origin: Origin {
                destination: Some("orders".to_owned()),
                timestamp: Some(Timestamp(7)),
                ..Origin::default()
            },
            failure: Failure {
                class: Some("Timeout".to_owned()),
                message: Some("of the \"gateway\"".to_owned()),
                ..Failure::default()
            },
            reason: DeathReason::Exception,
            attempts: Some((3, AttemptsKind::Retries)),
            last_failed_at: Some(Timestamp(8)),
            hops: vec![Hop::default(), Hop::default()],
            ..Decoded::default()
        };
        for decoded in [told, Decoded::default()] {
            let json = serde_json::to_string(&decoded).unwrap();
            let read: LastDeath = serde_json::from_str(&json).unwrap();
            assert_eq!(read, LastDeath::from(&decoded));
        }
    }
}
