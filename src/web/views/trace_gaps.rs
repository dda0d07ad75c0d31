//! Where traces lack events: while a tap had fallen behind, and what the taps of RabbitMQ do not follow.

use askama::filters::Safe;

use crate::domain::{ExchangeName, GapReason, TapPlace, TraceGap};
use crate::traces::{TapState, TapStatus};
use crate::web::escape::{Markup, escaped};
use crate::web::markup::{self, Status};

/// Exchanges of each kind that a row names.
const NAMED: usize = 20;

/// A tap.
pub(super) struct TapRow {
    pub(super) cluster: String,
    /// Topics, or a virtual host.
    pub(super) place: String,
    pub(super) state: Markup,
    pub(super) reason: String,
    pub(super) followed: Vec<String>,
    pub(super) left_out: Vec<String>,
}

/// "Between 12:00 and 12:04 events of … may be missing".
pub(super) fn gap_sentence(gap: &TraceGap) -> Markup {
    let place = match &gap.place {
        TapPlace::Topics => "topics".to_owned(),
        TapPlace::Topic(topic) => format!("topic {topic}"),
        TapPlace::Vhost(vhost) => format!("virtual host {vhost}"),
    };
    let why = match gap.reason {
        GapReason::FellBehind => "the tap fell behind, and its queue was full",
        GapReason::Thinned => "the tap fell behind, and kept only some traces, those whole",
        GapReason::Skipped => "the tap was far behind, and went on at the end",
    };
    let place = escaped(&format!("{place} on {}", gap.cluster));
    Safe(format!(
        "Between {} and {} events of {place} may be missing: {why}.",
        markup::clock(gap.from).0,
        markup::clock(gap.to).0
    ))
}

pub(super) fn tap_row(tap: TapStatus) -> TapRow {
    let (status, word, reason) = match tap.state {
        TapState::Waiting(reason) => (Status::Idle, "waiting", reason),
        TapState::Following => (Status::Ok, "following", String::new()),
        TapState::FollowingInPart(reason) => (Status::Warning, "following in part", reason),
        TapState::Refused(reason) => (Status::Warning, "not followed", reason),
        TapState::Failing(reason) => (Status::Critical, "failing", reason),
    };
    let followed = tap.followed.iter().map(|(exchange, bindings)| {
        let bindings = markup::counted(*bindings as u64, "binding", "bindings");
        format!("{exchange} ({bindings})")
    });
    let left_out = tap.left_out.iter();
    let left_out = left_out
        .map(|(exchange, reason): (&ExchangeName, &String)| format!("{exchange}: {reason}"));
    TapRow {
        cluster: tap.cluster.to_string(),
        place: match tap.place {
            TapPlace::Topics => "topics".to_owned(),
            TapPlace::Topic(topic) => topic.to_string(),
            TapPlace::Vhost(vhost) => format!("virtual host {vhost}"),
        },
        state: markup::status(status, word),
        reason,
        followed: named(followed),
        left_out: named(left_out),
    }
}

/// The first, and how many there are beside them.
fn named(lines: impl ExactSizeIterator<Item = String>) -> Vec<String> {
    let more = lines.len().saturating_sub(NAMED);
    let mut named: Vec<String> = lines.take(NAMED).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn a_gap_is_told_with_its_place_and_reason() {
        let check = |place, expected: &str| {
            let gap = TraceGap {
                cluster: "c<1>".into(),
                place,
                from: Timestamp(1_795_484_400_000),
                to: Timestamp(1_795_484_640_000),
                reason: GapReason::FellBehind,
            };
            let sentence = gap_sentence(&gap).0;
            assert!(sentence.contains(expected), "{sentence}");
            assert!(sentence.contains("c&lt;1&gt;"), "{sentence}");
            assert_eq!(sentence.matches("<time").count(), 2, "{sentence}");
        };
        check(TapPlace::Vhost("/".into()), "virtual host / on c");
        check(TapPlace::Topic("orders".into()), "topic orders on c");
    }

    #[test]
    fn of_many_exchanges_the_first_are_named() {
        let lines = (0..NAMED + 3).map(|number| number.to_string());
        let shown = named(lines);
        assert_eq!(shown.len(), NAMED + 1);
        assert_eq!(shown[NAMED], "and 3 more");
    }
}
