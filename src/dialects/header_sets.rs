use std::collections::VecDeque;

use super::MOST_HOPS;
use super::dialect::KnownHeader;
use crate::domain::{HeaderValue, Message};

/// The headers that one writer added together. Writers that append leave one set a hop behind each
/// other; a name that repeats starts the next set.
#[derive(Default)]
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

/// The sets of a dialect's headers on a message and the place by which it ranks among the others: the
/// larger, the later it was written.
pub(super) struct FoundSets<'a> {
    /// Latest first, at most [`MOST_HOPS`].
    pub(super) sets: Vec<HeaderSet<'a>>,
    pub(super) rank: Option<usize>,
}

/// The sets of a writer that appends its headers to those that it found.
pub(super) fn appended_sets<'a>(message: &'a Message, known: &[KnownHeader]) -> FoundSets<'a> {
    let mut sets: VecDeque<HeaderSet<'a>> = VecDeque::new();
    let mut rank = None;
    for (index, name, value) in known_headers(message, known) {
        rank = Some(index);
        if sets.front().is_none_or(|set| set.get(name).is_some()) {
            sets.push_front(HeaderSet::default());
            sets.truncate(MOST_HOPS);
        }
        if let Some(set) = sets.front_mut() {
            set.values.push((name, value));
        }
    }
    let sets = sets.into();
    FoundSets { sets, rank }
}

/// The sets of a writer that puts its headers before those that it found.
pub(super) fn prepended_sets<'a>(message: &'a Message, known: &[KnownHeader]) -> FoundSets<'a> {
    let mut sets: Vec<HeaderSet<'a>> = Vec::new();
    let mut rank = None;
    for (index, name, value) in known_headers(message, known) {
        // Before everything else stands what was written last.
        rank = rank.or(Some(if index == 0 { usize::MAX } else { index }));
        if sets.last().is_none_or(|set| set.get(name).is_some()) {
            if sets.len() == MOST_HOPS {
                break;
            }
            sets.push(HeaderSet::default());
        }
        if let Some(set) = sets.last_mut() {
            set.values.push((name, value));
        }
    }
    FoundSets { sets, rank }
}

/// The headers of a writer that replaces those of the death before: the last of each name.
pub(super) fn replaced_set<'a>(message: &'a Message, known: &[KnownHeader]) -> FoundSets<'a> {
    let mut set = HeaderSet::default();
    let mut rank = None;
    for (index, name, value) in known_headers(message, known) {
        rank = Some(index);
        match set.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, older)) => *older = value,
            None => set.values.push((name, value)),
        }
    }
    let sets = vec![set];
    FoundSets { sets, rank }
}

fn known_headers<'a>(
    message: &'a Message,
    known: &[KnownHeader],
) -> impl Iterator<Item = (usize, &'static str, &'a HeaderValue)> {
    let headers = message.headers.iter().enumerate();
    headers.filter_map(|(index, header)| {
        let known = known
            .iter()
            .find(|known| known.name.as_bytes() == header.name)?;
        Some((index, known.name, &header.value))
    })
}
