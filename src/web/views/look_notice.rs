//! What a look at a queue has seen, from the button on the queue's page to the list that it leads to.

use crate::dead_letters::LookResult;
use crate::web::markup;
use crate::web::parameters::Parameters;

const SEEN: &str = "seen";
const READY: &str = "ready";
const KEPT: &str = "kept";

/// What the address of the list tells of the look.
pub(super) fn look_parameters(looked: &LookResult) -> Parameters {
    let ready = looked.ready.map(|ready| ready.to_string());
    Parameters::default()
        .with(SEEN, &looked.seen.to_string())
        .with(READY, &ready.unwrap_or_default())
        .with(KEPT, &looked.kept.to_string())
}

/// The same in words; empty if the address tells of no look.
pub(super) fn look_notice(query: &Parameters) -> String {
    let number = |name| query.get(name).and_then(|text| text.parse::<u64>().ok());
    let Some(seen) = number(SEEN) else {
        return String::new();
    };
    let messages = markup::counted(seen, "message", "messages");
    let kept = match number(KEPT) {
        None | Some(0) => String::new(),
        Some(1) => {
            " 1 of them had too few deliveries left to be given back and is in the store now."
                .to_owned()
        }
        Some(kept) => format!(
            " {} of them had too few deliveries left to be given back and are in the store now.",
            markup::thousands(kept)
        ),
    };
    let looked = match number(READY) {
        Some(ready) if seen < ready => {
            let first = markup::thousands(seen);
            let about = markup::thousands(ready);
            format!(
                "The look saw the first {first} of about {about} messages in the queue; those behind them are \
                 not here."
            )
        }
        Some(_) if seen == 0 => "The look found no message in the queue.".to_owned(),
        Some(_) => format!("The look saw all that was in the queue: {messages}."),
        None if seen == 0 => "Nothing in the stream is new since the last read.".to_owned(),
        None => format!("{messages} of the stream were read; the next read goes on after them."),
    };
    looked + &kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_how_much_of_the_queue_a_look_has_seen() {
        let check = |seen, ready, expected: &str| {
            let looked = LookResult {
                seen,
                new: 0,
                kept: 0,
                ready,
            };
            let notice = look_notice(&look_parameters(&looked));
            assert!(notice.contains(expected), "{notice}");
        };
        check(200, Some(1_200), "the first 200 of about 1,200 messages");
        check(12, Some(12), "all that was in the queue: 12 messages");
        check(0, Some(0), "no message in the queue");
        check(7, None, "7 messages of the stream");
        check(0, None, "Nothing in the stream is new");
    }

    #[test]
    fn the_list_says_what_was_not_given_back() {
        let check = |kept, expected: &str| {
            let looked = LookResult {
                seen: 3,
                new: 3,
                kept,
                ready: Some(3),
            };
            let notice = look_notice(&look_parameters(&looked));
            assert!(notice.ends_with(expected), "{notice}");
        };
        check(0, "in the queue: 3 messages.");
        check(
            1,
            " 1 of them had too few deliveries left to be given back and is in the store now.",
        );
        check(
            2,
            " 2 of them had too few deliveries left to be given back and are in the store now.",
        );
    }

    #[test]
    fn an_address_that_tells_of_no_look_gets_no_notice() {
        for query in ["", "filter=seen", "seen=many", "ready=3"] {
            assert_eq!(look_notice(&Parameters::parse(query.as_bytes())), "");
        }
    }
}
