//! Destinations that cannot be reached now, so that the others do not wait for them.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is left alone for a while, longer each time.
#[derive(Debug)]
pub(in crate::replay) struct SetAside<K> {
    pauses: HashMap<K, Pause>,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    length: Duration,
    until: Instant,
}

impl<K> Default for SetAside<K> {
    fn default() -> Self {
        Self {
            pauses: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash> SetAside<K> {
    /// Begins a pause, or the next one, of a destination that cannot be reached.
    pub(in crate::replay) fn put(&mut self, key: K, now: Instant) {
        let known = self.pauses.get(&key);
        // Whoever was reached again for longer than that begins anew.
        let known = known.filter(|pause| now < pause.until + LONGEST_PAUSE);
        let length = known.map_or(FIRST_PAUSE, |pause| (pause.length * 2).min(LONGEST_PAUSE));
        let until = now + length;
        self.pauses.insert(key, Pause { length, until });
    }

    pub(in crate::replay) fn holds(&self, key: &K, now: Instant) -> bool {
        self.pauses.get(key).is_some_and(|pause| now < pause.until)
    }

    /// Those that are left alone now.
    pub(super) fn held(&self, now: Instant) -> impl Iterator<Item = &K> {
        let pauses = self.pauses.iter();
        let held = pauses.filter(move |(_, pause)| now < pause.until);
        held.map(|(key, _)| key)
    }

    /// When the first of them is tried again.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        let pauses = self.pauses.values();
        let left = pauses.filter_map(|pause| pause.until.checked_duration_since(now));
        left.filter(|left| !left.is_zero()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_grows_while_nothing_is_reached_and_ends_by_itself() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut aside = SetAside::default();
        assert_eq!(aside.next(start), None);
        aside.put("a", start);
        assert!(aside.holds(&"a", start) && !aside.holds(&"b", start));
        assert!(!aside.holds(&"a", after(1)));
        aside.put("a", after(1));
        assert_eq!(aside.next(after(1)), Some(Duration::from_secs(2)));
        assert_eq!(aside.held(after(2)).collect::<Vec<_>>(), [&"a"]);
        for _ in 0..10 {
            aside.put("a", after(3));
        }
        assert_eq!(aside.next(after(3)), Some(LONGEST_PAUSE));
        aside.put("a", after(1_000));
        assert_eq!(aside.next(after(1_000)), Some(FIRST_PAUSE));
    }
}
