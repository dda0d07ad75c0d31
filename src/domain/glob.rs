use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use thiserror::Error;

/// A pattern in the configuration that is no glob.
#[derive(Debug, Error)]
#[error("{pattern:?} is not a pattern of `*`, `?`, `[a-z]` and `{{a,b}}`")]
pub struct GlobError {
    pub pattern: String,
    source: globset::Error,
}

/// Names selected by glob patterns, without regard to case (`*.dlq`, `*-DLT`).
#[derive(Clone, Debug, Default)]
pub struct NameFilter {
    set: GlobSet,
}

impl NameFilter {
    pub fn parse<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, GlobError> {
        let mut builder = GlobSetBuilder::new();
        for pattern in patterns {
            let glob = GlobBuilder::new(pattern).case_insensitive(true).build();
            builder.add(glob.map_err(|source| GlobError {
                pattern: pattern.to_owned(),
                source,
            })?);
        }
        let set = builder.build().map_err(|source| GlobError {
            pattern: source.to_string(),
            source,
        })?;
        Ok(Self { set })
    }

    pub fn matches(&self, name: &str) -> bool {
        self.set.is_match(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_without_regard_to_case() {
        let filter = NameFilter::parse(["*.dlq", "*-dlt"]).unwrap();
        assert!(filter.matches("orders.DLQ"));
        assert!(filter.matches("orders-DLT"));
        assert!(!filter.matches("orders"));
    }

    #[test]
    fn a_broken_pattern_is_named() {
        let error = NameFilter::parse(["a[b"]).unwrap_err();
        assert!(error.to_string().contains("a[b"), "{error}");
    }
}
