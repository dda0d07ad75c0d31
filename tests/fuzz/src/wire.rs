//! What brokers send: Kafka's answers to the sampler, AMQP frames before lapin parses them, and what
//! RabbitMQ's management API and prometheus plugin say. The same bytes are given to each.

use amq_protocol::frame::parse_frame;
use redrive::brokers::kafka::wire::read_as_every_answer;
use redrive::brokers::rabbitmq::amqp::guarded;
use redrive::brokers::rabbitmq::{read_as_every_list, read_as_metrics};

use crate::allocations::most_held;

/// Bytes of memory for one of an answer: twenty for the smallest items, doubled where a `Vec` grows.
const MEMORY_A_BYTE: usize = 64;

/// What is held for the shortest answer already, errors and tables among it.
const MEMORY_AT_ALL: usize = 16 * 1024;

/// A policy's pattern is compiled, which may take this much.
const MEMORY_OF_PATTERNS: usize = 64 * 1024 * 1024;

/// Steps in which frames arrive.
const STEPS: [usize; 3] = [1, 7, usize::MAX];

pub(crate) fn run(input: &[u8]) {
    let bound = MEMORY_AT_ALL + MEMORY_A_BYTE * input.len();
    let held = most_held(|| {
        read_as_every_answer(input);
    });
    assert!(held <= bound, "{held} bytes for {}", input.len());
    frames(input);
    let held = most_held(|| {
        read_as_metrics(&String::from_utf8_lossy(input));
    });
    assert!(held <= bound, "{held} bytes for {}", input.len());
    let held = most_held(|| {
        read_as_every_list(input);
    });
    let bound = bound + MEMORY_OF_PATTERNS;
    assert!(held <= bound, "{held} bytes for {}", input.len());
}

/// However frames arrive, the same passes; it is as long as it was, needs no second repair, and lapin's
/// parser survives it.
fn frames(input: &[u8]) {
    let [Ok(passed), others @ ..] = STEPS.map(|step| guarded(input, step)) else {
        return;
    };
    for other in others {
        assert_eq!(other.ok().as_ref(), Some(&passed));
    }
    assert!(passed.len() <= input.len());
    let again = guarded(&passed, usize::MAX);
    assert_eq!(again.ok().as_ref(), Some(&passed));
    let mut rest = passed.as_slice();
    while let Ok((after, _frame)) = parse_frame(rest) {
        assert!(after.len() < rest.len());
        rest = after;
    }
}
