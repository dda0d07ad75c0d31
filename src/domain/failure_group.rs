use std::time::Duration;

/// What a failure group is, at a moment. One group can be several of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// First seen within [`GroupState::NEWS_FOR`].
    New,
    /// A dead letter arrived within [`GroupState::NEWS_FOR`] after all had been resolved, and some are open.
    Regressed,
    /// More arrived in the last hour than is usual for it: at least three, and more than twice the mean
    /// of the 23 hours before.
    Growing,
    /// Some are open.
    Open,
    /// None is open.
    Resolved,
}

impl GroupState {
    pub const ALL: [Self; 5] = [
        Self::New,
        Self::Regressed,
        Self::Growing,
        Self::Open,
        Self::Resolved,
    ];

    /// A group is new, or back, for so long.
    pub const NEWS_FOR: Duration = Duration::from_hours(1);

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Regressed => "regressed",
            Self::Growing => "growing",
            Self::Open => "open",
            Self::Resolved => "resolved",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// The rule of [`GroupState::Growing`].
    pub fn is_growth(last_hour: u64, usual: f64) -> bool {
        last_hour >= 3 && last_hour as f64 > 2.0 * usual
    }
}

/// The order of failure groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupOrder {
    /// The newest dead letter first.
    #[default]
    Last,
    /// The most open ones first.
    Open,
    /// The most ever seen first.
    Total,
    /// The newest group first.
    First,
}

impl GroupOrder {
    pub const ALL: [Self; 4] = [Self::Last, Self::Open, Self::Total, Self::First];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Open => "open",
            Self::Total => "total",
            Self::First => "first",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_grows_when_its_last_hour_stands_out() {
        assert!(GroupState::is_growth(5, 1.0));
        assert!(!GroupState::is_growth(5, 5.0));
        assert!(!GroupState::is_growth(2, 0.0), "one or two are no trend");
        assert!(
            !GroupState::is_growth(10, 5.0),
            "twice is not more than twice"
        );
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for state in GroupState::ALL {
            assert_eq!(GroupState::parse(state.as_str()), Some(state));
        }
        for order in GroupOrder::ALL {
            assert_eq!(GroupOrder::parse(order.as_str()), Some(order));
        }
        assert_eq!(GroupState::parse("old"), None);
    }
}
