use super::{Filter, FilterField};

/// What dead letters can be counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PivotField {
    Exception,
    Source,
    EventType,
    Consumer,
    Dlq,
}

impl PivotField {
    pub const ALL: [Self; 5] = [
        Self::Exception,
        Self::Source,
        Self::EventType,
        Self::Consumer,
        Self::Dlq,
    ];

    /// The word in URLs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exception => "exception",
            Self::Source => "source",
            Self::EventType => "type",
            Self::Consumer => "consumer",
            Self::Dlq => "dlq",
        }
    }

    /// What it is called in a sentence.
    pub const fn label(self) -> &'static str {
        match self {
            Self::EventType => "event type",
            Self::Dlq => "DLQ",
            named => named.as_str(),
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == text)
    }

    /// The term of a filter that asks for the dead letters with this value.
    pub fn term(self, value: &str) -> String {
        let field = match self {
            Self::Exception => FilterField::Error,
            Self::Source => FilterField::Source,
            Self::EventType => FilterField::Type,
            Self::Consumer => FilterField::Consumer,
            Self::Dlq => FilterField::Dlq,
        };
        field.term(value)
    }

    /// Whether [`Self::term`] can be understood: an exception without a letter has no words to find.
    pub fn can_be_asked(self, value: &str) -> bool {
        Filter::parse(&self.term(value)).is_ok()
    }
}
