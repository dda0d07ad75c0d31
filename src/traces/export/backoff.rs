use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

/// A backend may ask for no more.
const LONGEST_ASKED: Duration = Duration::from_mins(15);

/// How long to wait after so many failures in a row, the first of which is 1: it doubles up to a minute, and lies
/// between half of that and the whole, by `random`, so that many clients do not come back at once. What the backend
/// asks for is no less than that.
pub(super) fn wait(failures: u32, asked: Option<Duration>, random: u64) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1));
    let whole = FIRST
        .saturating_mul(doubled.unwrap_or(u32::MAX))
        .min(LONGEST);
    let share = random as f64 / u64::MAX as f64;
    let own = whole.mul_f64(0.5 + share / 2.0);
    asked.unwrap_or_default().min(LONGEST_ASKED).max(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_to_a_bound_with_jitter() {
        let check = |failures, asked: Option<u64>, random, expected: u64| {
            let asked = asked.map(Duration::from_secs);
            let wait = wait(failures, asked, random).as_millis();
            assert_eq!(wait, u128::from(expected), "{failures} {asked:?} {random}");
        };
        check(1, None, 0, 500);
        check(1, None, u64::MAX, 1_000);
        check(4, None, u64::MAX, 8_000);
        check(9, None, u64::MAX, 60_000);
        check(4_000_000, None, 0, 30_000);
        check(1, Some(120), 0, 120_000);
        check(9, Some(1), 0, 30_000);
        check(1, Some(1_000_000), 0, 900_000);
    }
}
