use crate::domain::{GroupVerdict, Offset};

/// Samples over which a verdict is reached.
pub(super) const WINDOW: usize = 10;

/// The last samples of one partition of one consumer group.
#[derive(Clone, Debug, Default)]
pub(super) struct ProgressWindow {
    samples: [Progress; WINDOW],
    /// How many samples were pushed, at most so many are held.
    pushed: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) committed: Offset,
    pub(super) lag: u64,
    pub(super) retention: Retention,
}

/// Whether retention was faster than the group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Retention {
    #[default]
    KeptTheUnread,
    RemovedTheUnread,
}

/// Whether anybody is there to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    Members,
    Empty,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            committed: Offset(0),
            lag: 0,
            retention: Retention::default(),
        }
    }
}

impl ProgressWindow {
    pub(super) fn push(&mut self, progress: Progress) {
        self.samples[self.pushed % WINDOW] = progress;
        self.pushed += 1;
    }

    /// Oldest first.
    fn iter(&self) -> impl DoubleEndedIterator<Item = Progress> + Clone + '_ {
        let held = self.pushed.min(WINDOW);
        (self.pushed - held..self.pushed).map(|index| self.samples[index % WINDOW])
    }

    fn pairs(&self) -> impl DoubleEndedIterator<Item = (Progress, Progress)> + '_ {
        let held = self.pushed.min(WINDOW);
        let pairs = self.pushed - held..self.pushed.max(1) - 1;
        pairs.map(|i| (self.samples[i % WINDOW], self.samples[(i + 1) % WINDOW]))
    }

    /// The condition of this partition. What needs a whole window to be proven is not said earlier.
    pub(super) fn verdict(&self, membership: Membership) -> GroupVerdict {
        if self.lost() {
            return GroupVerdict::Lost;
        }
        let lagging = self.iter().next_back().is_some_and(|last| last.lag > 0);
        if !lagging {
            return GroupVerdict::Ok;
        }
        let proven = self.pushed >= WINDOW && self.iter().all(|sample| sample.lag > 0);
        let stands_still = self.pairs().all(|(a, b)| a.committed == b.committed);
        match membership {
            Membership::Members if proven && stands_still => GroupVerdict::Stalled,
            Membership::Empty if proven && stands_still => GroupVerdict::Stopped,
            // A reader outside the group protocol commits without being a member.
            Membership::Empty if !self.progressed_lately() => GroupVerdict::NoMembers,
            _ if self.pairs().any(|(a, b)| b.committed < a.committed) => GroupVerdict::Rewound,
            _ if proven && self.never_shrank() => GroupVerdict::Slow,
            _ => GroupVerdict::Ok,
        }
    }

    fn lost(&self) -> bool {
        self.iter()
            .any(|sample| sample.retention == Retention::RemovedTheUnread)
    }

    fn progressed_lately(&self) -> bool {
        let last = self.pairs().next_back();
        last.is_some_and(|(before, now)| before.committed != now.committed)
    }

    /// A lag that stays the same belongs to a consumer that keeps up, with a batch under way.
    fn never_shrank(&self) -> bool {
        let first = self.iter().next();
        let last = self.iter().next_back();
        let grew = first.zip(last).is_some_and(|(a, b)| b.lag > a.lag);
        grew && self.pairs().all(|(before, now)| now.lag >= before.lag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(samples: &[(i64, u64)], membership: Membership) -> GroupVerdict {
        let mut window = ProgressWindow::default();
        for (committed, lag) in samples {
            window.push(Progress {
                committed: Offset(*committed),
                lag: *lag,
                retention: Retention::KeptTheUnread,
            });
        }
        window.verdict(membership)
    }

    fn repeated(sample: (i64, u64), times: usize) -> Vec<(i64, u64)> {
        vec![sample; times]
    }

    #[test]
    fn the_verdict_follows_the_last_ten_samples() {
        use GroupVerdict::{NoMembers, Ok, Rewound, Slow, Stalled, Stopped};
        use Membership::{Empty, Members};
        let check = |samples: &[(i64, u64)], membership, expected| {
            assert_eq!(verdict(samples, membership), expected, "{samples:?}");
        };
        let growing: Vec<_> = (0..10_i64)
            .map(|n| (n * 5, 10 + n.unsigned_abs()))
            .collect();
        let steady: Vec<_> = (0..10).map(|n| (n * 5, 7)).collect();
        let mut shrank_once = growing.clone();
        shrank_once[5].1 = 1;
        let mut was_idle = repeated((5, 3), 12);
        was_idle[6].1 = 0;

        check(&[], Members, Ok);
        check(&[(5, 100)], Members, Ok);
        check(&repeated((5, 0), 20), Members, Ok);
        check(&repeated((5, 0), 20), Empty, Ok);
        check(&repeated((5, 3), 9), Members, Ok);
        check(&repeated((5, 3), 10), Members, Stalled);
        check(&repeated((5, 3), 25), Members, Stalled);
        check(&was_idle, Members, Ok);
        check(&[(5, 3)], Empty, NoMembers);
        check(&repeated((5, 3), 9), Empty, NoMembers);
        check(&repeated((5, 3), 10), Empty, Stopped);
        check(&[(5, 3), (6, 3)], Empty, Ok);
        check(&[(9, 3), (5, 7), (6, 6)], Members, Rewound);
        check(&[(9, 3), (5, 7), (12, 0)], Members, Ok);
        check(&growing, Members, Slow);
        check(&growing[..9], Members, Ok);
        check(&steady, Members, Ok);
        check(&shrank_once, Members, Ok);
    }

    #[test]
    fn what_retention_removed_is_remembered_for_the_window() {
        let mut window = ProgressWindow::default();
        let mut progress = Progress {
            retention: Retention::RemovedTheUnread,
            ..Progress::default()
        };
        window.push(progress);
        assert_eq!(window.verdict(Membership::Members), GroupVerdict::Lost);
        progress.retention = Retention::KeptTheUnread;
        (0..WINDOW - 1).for_each(|_| window.push(progress));
        assert_eq!(window.verdict(Membership::Members), GroupVerdict::Lost);
        window.push(progress);
        assert_eq!(window.verdict(Membership::Members), GroupVerdict::Ok);
    }
}
