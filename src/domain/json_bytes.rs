//! Bytes as a JSON string where they are UTF-8 and as `{"base64": "…"}` where they are not.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserializer, Serializer};

const BASE64: &str = "base64";

pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return serializer.serialize_str(text);
    }
    let mut object = serializer.serialize_map(Some(1))?;
    object.serialize_entry(BASE64, &STANDARD.encode(bytes))?;
    object.end()
}

/// Headers are read thousands a second, so without the buffer of serde's untagged enums.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    deserializer.deserialize_any(TextOrBase64)
}

struct TextOrBase64;

impl<'de> Visitor<'de> for TextOrBase64 {
    type Value = Bytes;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string, or an object with the field base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        Ok(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Bytes, E> {
        Ok(Bytes::from(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Bytes, A::Error> {
        let mut bytes = None;
        while let Some(name) = object.next_key::<String>()? {
            if name != BASE64 {
                object.next_value::<IgnoredAny>()?;
                continue;
            }
            if bytes.is_some() {
                return Err(A::Error::duplicate_field(BASE64));
            }
            let text: String = object.next_value()?;
            let decoded = STANDARD.decode(text).map_err(A::Error::custom)?;
            bytes = Some(Bytes::from(decoded));
        }
        bytes.ok_or_else(|| A::Error::missing_field(BASE64))
    }
}

/// The same for bytes that may be null.
pub(super) mod optional {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Wrapped(#[serde(with = "super")] Bytes);

    #[expect(
        clippy::ref_option,
        reason = "serde calls it with a reference to the field"
    )]
    pub(in crate::domain) fn serialize<S: Serializer>(
        bytes: &Option<Bytes>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.clone().map(Wrapped).serialize(serializer)
    }

    pub(in crate::domain) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Bytes>, D::Error> {
        Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(#[serde(with = "super")] Bytes);

    #[test]
    fn text_is_a_string_and_other_bytes_are_base64() {
        for (bytes, stored) in [
            (Bytes::from_static(b"a\"b"), r#""a\"b""#),
            (Bytes::new(), r#""""#),
            (Bytes::from_static(b"\xff\x00"), r#"{"base64":"/wA="}"#),
        ] {
            let wrapped = Wrapped(bytes);
            assert_eq!(serde_json::to_string(&wrapped).unwrap(), stored);
            assert_eq!(serde_json::from_str::<Wrapped>(stored).unwrap(), wrapped);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let refused = [
            (r#"{"base64":"?"}"#, "Invalid symbol"),
            (r#"{"base64":"","base64":""}"#, "duplicate field `base64`"),
            (r#"{"base32":"ME"}"#, "missing field `base64`"),
            ("7", "a string, or an object"),
        ];
        for (stored, expected) in refused {
            let error = serde_json::from_str::<Wrapped>(stored).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
