use std::ops::Deref;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::domain::Masking;

/// `[masking]`: headers and fields of payloads that traces do not read and exports do not show.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(try_from = "Fields")]
pub struct MaskingConfig(#[schemars(with = "Fields")] Masking);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fields {
    /// Names of headers, as glob patterns without regard to case.
    #[serde(default)]
    headers: Vec<String>,
    /// Fields of JSON payloads: by name wherever they stand (`password`), or with a dot by their path from the
    /// top (`data.customer.*`); glob patterns without regard to case.
    #[serde(default)]
    payload: Vec<String>,
}

impl TryFrom<Fields> for MaskingConfig {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        Masking::new(&fields.headers, &fields.payload)
            .map(Self)
            .map_err(|error| format!("masking: {error}"))
    }
}

impl Deref for MaskingConfig {
    type Target = Masking;

    fn deref(&self) -> &Masking {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn patterns_are_read_and_a_broken_one_is_named() {
        let config = Config::parse("[masking]\nheaders = ['x-*']\npayload = ['a.b']", []).unwrap();
        assert!(config.masking.is_on());
        assert!(!Config::default().masking.is_on());
        let error = Config::parse("[masking]\npayload = ['a[']", []).unwrap_err();
        assert!(error.to_string().contains("a["), "{error}");
    }
}
