use std::fmt;

use super::{Filter, Timestamp};

/// A filter that somebody gave a name, for everybody.
#[derive(Clone, Debug)]
pub struct SavedFilter {
    pub name: FilterName,
    pub filter: Filter,
    pub created_at: Timestamp,
    pub created_by: String,
}

/// The name of a saved filter: some words on one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilterName(String);

/// Why a text is no name of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterNameError {
    #[error("a saved filter needs a name; write what it shows, such as \"open payments\"")]
    Empty,
    #[error(
        "the name of a saved filter has at most {} characters; shorten it",
        FilterName::LONGEST
    )]
    TooLong,
    #[error("the name of a saved filter is one line without control characters")]
    ControlCharacter,
}

impl FilterName {
    /// In characters.
    pub const LONGEST: usize = 60;

    /// Reads a name; spaces around it are dropped.
    pub fn parse(text: &str) -> Result<Self, FilterNameError> {
        let name = text.trim();
        if name.is_empty() {
            return Err(FilterNameError::Empty);
        }
        if name.chars().count() > Self::LONGEST {
            return Err(FilterNameError::TooLong);
        }
        if name.chars().any(char::is_control) {
            return Err(FilterNameError::ControlCharacter);
        }
        Ok(Self(name.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FilterName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_short_line() {
        let name = FilterName::parse("  open payments ").unwrap();
        assert_eq!(name.as_str(), "open payments");
        let longest = "ü".repeat(FilterName::LONGEST);
        assert!(FilterName::parse(&longest).is_ok());
        for (text, error) in [
            (" ", FilterNameError::Empty),
            ("a\nb", FilterNameError::ControlCharacter),
            (&format!("{longest}ü"), FilterNameError::TooLong),
        ] {
            assert_eq!(FilterName::parse(text), Err(error), "{text:?}");
        }
    }
}
