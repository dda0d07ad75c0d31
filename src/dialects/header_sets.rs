use std::collections::VecDeque;

use super::MOST_HOPS;
use crate::domain::{HeaderValue, Message};

/// The headers that one writer added together. Writers that append leave one set a hop behind each
/// other; a name that repeats starts the next set.
pub(super) struct HeaderSet<'a> {
    values: Vec<(&'static str, &'a HeaderValue)>,
}

impl<'a> HeaderSet<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a HeaderValue> {
        self.values
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    /// The value of a header, read by one of the functions of `header_values`.
    pub(super) fn read<T>(
        &self,
        name: &str,
        reader: impl FnOnce(&HeaderValue) -> Option<T>,
    ) -> Option<T> {
        self.get(name).and_then(reader)
    }

    pub(super) fn has_any_of(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.get(name).is_some())
    }
}

/// The sets of these names on a message, latest first, at most [`MOST_HOPS`], and the place of the
/// last header that belongs to any of them.
pub(super) fn header_sets<'a>(
    message: &'a Message,
    names: &[&'static str],
) -> (Vec<HeaderSet<'a>>, Option<usize>) {
    let mut sets: VecDeque<HeaderSet<'a>> = VecDeque::new();
    let mut last = None;
    for (index, header) in message.headers.iter().enumerate() {
        let Some(name) = names.iter().find(|name| name.as_bytes() == header.name) else {
            continue;
        };
        last = Some(index);
        if sets.front().is_none_or(|set| set.get(name).is_some()) {
            sets.push_front(HeaderSet { values: Vec::new() });
            sets.truncate(MOST_HOPS);
        }
        if let Some(set) = sets.front_mut() {
            set.values.push((name, &header.value));
        }
    }
    (sets.into(), last)
}
