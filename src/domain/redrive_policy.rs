//! When a failure group is redriven by itself. Pure: times are arguments.

use std::time::Duration;

use thiserror::Error;

use super::Timestamp;

/// How the dead letters of one failure group are replayed without a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedrivePolicy {
    /// How often an event is replayed by policies at most, over all its deaths.
    pub attempts: u32,
    /// Between a death and the first attempt.
    pub first_delay: Duration,
    /// How much longer each delay is than the one before.
    pub factor: u32,
    /// How fast a run sends; `None` for as fast as it goes.
    pub events_per_second: Option<u32>,
    /// The policy switches itself off when so many percent of a run died again.
    pub stop_percent: u8,
}

/// Why a policy is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RedrivePolicyError {
    #[error("attempts is {0}; give 1 to {most}", most = RedrivePolicy::MOST_ATTEMPTS)]
    Attempts(u32),
    #[error("first_delay is shorter than a second or longer than a day; give 1s to 24h")]
    FirstDelay,
    #[error("factor is {0}; give 1 to {most}", most = RedrivePolicy::LARGEST_FACTOR)]
    Factor(u32),
    #[error("a rate of 0 events per second sends nothing; switch the policy off instead")]
    Rate,
    #[error("stop_percent is {0}; give 1 to 100")]
    StopPercent(u8),
}

impl Default for RedrivePolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            first_delay: Duration::from_mins(1),
            factor: 2,
            events_per_second: None,
            stop_percent: 100,
        }
    }
}

impl RedrivePolicy {
    pub const MOST_ATTEMPTS: u32 = 20;
    pub const LARGEST_FACTOR: u32 = 10;
    /// No delay is longer.
    pub const LONGEST_DELAY: Duration = Duration::from_hours(24);
    /// Of fewer events a share says little: such a run does not stop the policy.
    pub const FEWEST_JUDGED: u64 = 10;

    /// The policy, if its numbers make sense.
    pub fn checked(self) -> Result<Self, RedrivePolicyError> {
        if !(1..=Self::MOST_ATTEMPTS).contains(&self.attempts) {
            return Err(RedrivePolicyError::Attempts(self.attempts));
        }
        if !(Duration::from_secs(1)..=Self::LONGEST_DELAY).contains(&self.first_delay) {
            return Err(RedrivePolicyError::FirstDelay);
        }
        if !(1..=Self::LARGEST_FACTOR).contains(&self.factor) {
            return Err(RedrivePolicyError::Factor(self.factor));
        }
        if self.events_per_second == Some(0) {
            return Err(RedrivePolicyError::Rate);
        }
        if !(1..=100).contains(&self.stop_percent) {
            return Err(RedrivePolicyError::StopPercent(self.stop_percent));
        }
        Ok(self)
    }

    /// When an event is replayed next that failed last at `failed_at` and was replayed `made` times by
    /// policies; `None` when no attempt is left.
    pub fn due(&self, failed_at: Timestamp, made: u32) -> Option<Timestamp> {
        (made < self.attempts).then(|| failed_at.plus(self.delay_after(made)))
    }

    /// How long an attempt waits that follows `made` earlier ones.
    pub fn delay_after(&self, made: u32) -> Duration {
        let longer = self.factor.checked_pow(made);
        let delay = longer.and_then(|times| self.first_delay.checked_mul(times));
        delay.map_or(Self::LONGEST_DELAY, |delay| delay.min(Self::LONGEST_DELAY))
    }

    /// Why a run of `events`, of which so many died again, switches the policy off.
    pub fn reason_to_stop(&self, events: u64, died_again: u64) -> Option<String> {
        let is_too_much = died_again * 100 >= events * u64::from(self.stop_percent);
        (events >= Self::FEWEST_JUDGED && is_too_much).then(|| {
            format!(
                "{died_again} of {events} events of a run died again, which is {} % or more",
                self.stop_percent
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn each_delay_is_longer_by_the_factor_and_none_is_longer_than_a_day() {
        let policy = RedrivePolicy {
            attempts: 20,
            ..RedrivePolicy::default()
        };
        assert_eq!(policy.delay_after(0), MINUTE);
        assert_eq!(policy.delay_after(1), 2 * MINUTE);
        assert_eq!(policy.delay_after(10), 1024 * MINUTE);
        assert_eq!(policy.delay_after(11), RedrivePolicy::LONGEST_DELAY);
        let steep = RedrivePolicy {
            factor: 10,
            first_delay: RedrivePolicy::LONGEST_DELAY,
            ..policy
        };
        assert_eq!(steep.delay_after(19), RedrivePolicy::LONGEST_DELAY);
    }

    #[test]
    fn an_event_is_due_after_its_delay_until_no_attempt_is_left() {
        let policy = RedrivePolicy::default();
        let failed_at = Timestamp(1_000);
        assert_eq!(policy.due(failed_at, 0), Some(failed_at.plus(MINUTE)));
        assert_eq!(policy.due(failed_at, 2), Some(failed_at.plus(4 * MINUTE)));
        assert_eq!(policy.due(failed_at, 3), None);
        assert_eq!(policy.due(failed_at, u32::MAX), None);
    }

    #[test]
    fn a_run_that_dies_again_stops_the_policy_unless_it_is_small() {
        let policy = RedrivePolicy::default();
        assert_eq!(policy.reason_to_stop(9, 9), None);
        assert_eq!(policy.reason_to_stop(10, 9), None);
        assert!(policy.reason_to_stop(10, 10).is_some());
        let careful = RedrivePolicy {
            stop_percent: 20,
            ..policy
        };
        assert_eq!(careful.reason_to_stop(100, 19), None);
        let reason = careful.reason_to_stop(100, 20).unwrap();
        assert_eq!(
            reason,
            "20 of 100 events of a run died again, which is 20 % or more"
        );
    }

    #[test]
    fn numbers_without_a_sense_are_refused_by_name() {
        let check = |change: fn(&mut RedrivePolicy), expected: &str| {
            let mut policy = RedrivePolicy::default();
            change(&mut policy);
            let refused = policy.checked().unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        };
        check(|policy| policy.attempts = 0, "attempts is 0; give 1 to 20");
        check(|policy| policy.attempts = 21, "attempts is 21");
        check(|policy| policy.first_delay = Duration::ZERO, "first_delay");
        check(
            |policy| policy.first_delay = RedrivePolicy::LONGEST_DELAY + MINUTE,
            "first_delay",
        );
        check(|policy| policy.factor = 0, "factor is 0; give 1 to 10");
        check(|policy| policy.factor = 11, "factor is 11");
        check(|policy| policy.events_per_second = Some(0), "a rate of 0");
        check(|policy| policy.stop_percent = 0, "stop_percent is 0");
        check(|policy| policy.stop_percent = 101, "stop_percent is 101");
        assert!(RedrivePolicy::default().checked().is_ok());
    }
}
