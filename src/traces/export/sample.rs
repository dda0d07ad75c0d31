use std::time::Duration;

use super::ids::TraceId;
use crate::domain::ReplayStateName;
use crate::traces::{Step, Trace};

/// Whether a trace is exported for what happened in it: something failed, or it took long.
pub(super) fn is_remarkable(trace: &Trace, slow: Duration) -> bool {
    let failed = trace.nodes.iter().any(|node| match &node.step {
        Step::Letter(_) => true,
        Step::Replay(replay) => replay.state == ReplayStateName::Failed,
        Step::Event(_) | Step::Edit(_) | Step::Missing(_) => false,
    });
    failed
        || trace
            .span()
            .is_some_and(|(first, last)| last.since(first) >= slow)
}

/// Whether a trace is in the share that is exported of all others. It is the one that samplers of OpenTelemetry with
/// the same ratio keep: those with the larger randomness.
pub(super) fn is_sampled(id: TraceId, ratio: f64) -> bool {
    const ALL: u64 = 1 << 56;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the configuration allows ratios from 0 to 1"
    )]
    let rejected = ((1.0 - ratio) * ALL as f64) as u64;
    id.randomness() >= rejected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_traces_is_sampled_by_the_low_bits_of_their_ids() {
        let check = |low: &str, ratio: f64, expected: bool| {
            let id = TraceId::of(&format!("ffffffffffffffffff{low}")).unwrap();
            assert_eq!(is_sampled(id, ratio), expected, "{low} {ratio}");
        };
        check("00000000000000", 1.0, true);
        check("ffffffffffffff", 0.0, false);
        check("80000000000000", 0.5, true);
        check("7fffffffffffff", 0.5, false);
        check("c0000000000000", 0.25, true);
        check("bfffffffffffff", 0.25, false);
    }

    #[test]
    fn of_many_traces_about_the_ratio_is_kept() {
        let kept = (0..10_000).filter(|number| {
            let id = TraceId::of(&format!("order-{number}"));
            is_sampled(id.unwrap(), 0.1)
        });
        let kept = kept.count();
        assert!((900..1_100).contains(&kept), "{kept}");
    }
}
