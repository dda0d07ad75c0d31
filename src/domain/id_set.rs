use std::fmt;

use serde::{Serialize, Serializer};

use super::DeadLetterId;

/// A set of dead letters as ranges, so that the audit can name a million of them in a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterIds {
    /// First and last ID of each range; ascending, with a gap between two.
    ranges: Vec<(i64, i64)>,
}

impl DeadLetterIds {
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many dead letters are in the set.
    pub fn len(&self) -> u64 {
        self.ranges
            .iter()
            .map(|(first, last)| last.abs_diff(*first) + 1)
            .sum()
    }

    /// Its dead letters, ascending.
    pub fn iter(&self) -> impl Iterator<Item = DeadLetterId> {
        let ranges = self.ranges.iter();
        ranges.flat_map(|(first, last)| (*first..=*last).map(DeadLetterId))
    }
}

impl FromIterator<DeadLetterId> for DeadLetterIds {
    fn from_iter<T: IntoIterator<Item = DeadLetterId>>(ids: T) -> Self {
        let mut sorted: Vec<i64> = ids.into_iter().map(|id| id.0).collect();
        sorted.sort_unstable();
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        for id in sorted {
            match ranges.last_mut() {
                Some((_, last)) if id <= last.saturating_add(1) => *last = id,
                _ => ranges.push((id, id)),
            }
        }
        Self { ranges }
    }
}

/// `1-500,502`.
impl fmt::Display for DeadLetterIds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.ranges.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            if first == last {
                write!(formatter, "{separator}{first}")?;
            } else {
                write!(formatter, "{separator}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for DeadLetterIds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_ranges_whatever_their_order() {
        let check = |ids: &[i64], text: &str, len: u64| {
            let set: DeadLetterIds = ids.iter().copied().map(DeadLetterId).collect();
            assert_eq!(set.to_string(), text);
            assert_eq!(set.len(), len, "{text}");
            assert_eq!(set.is_empty(), len == 0);
        };
        check(&[], "", 0);
        check(&[7], "7", 1);
        check(&[3, 1, 2, 9, 2], "1-3,9", 4);
        check(&[1, 3, 5], "1,3,5", 3);
        check(
            &[i64::MAX, i64::MAX - 1],
            "9223372036854775806-9223372036854775807",
            2,
        );
    }
}
