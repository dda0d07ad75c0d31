use std::time::Duration;

use crate::domain::{DeadLetterOrder, Filter, Timestamp};
use crate::store::tests::{Fixture, fixture, kafka_letter};
use crate::store::{PageRequest, Store};

const NOW: Timestamp = Timestamp(100_000_000);

/// Seconds before [`NOW`] at which the dead letters 1, 2, 3 … died: several in the same moment, some before others
/// that were taken in earlier.
const AGES: [u64; 12] = [90, 90, 90, 10, 90, 50, 50, 50, 20, 90, 10, 10];

async fn filled() -> Fixture {
    let fixture = fixture().await;
    let letters = (1_i64..).zip(AGES).map(|(offset, age)| {
        let mut letter = kafka_letter(offset);
        letter.dead_at = NOW.minus(Duration::from_secs(age));
        letter.decoded.failure.message = Some(format!(
            "late, {}",
            ["even", "odd"][usize::from(offset % 2 == 1)]
        ));
        letter
    });
    let letters: Vec<_> = letters.collect();
    fixture
        .store
        .index_kafka_batch(&"c".into(), &letters, &[], &[], NOW)
        .await
        .unwrap();
    fixture
}

/// Everything that matches, page by page.
async fn walked(store: &Store, order: DeadLetterOrder, filter: &str, limit: u32) -> Vec<i64> {
    let filter = Filter::parse(filter).unwrap();
    let mut page = PageRequest::first(limit);
    let mut seen = Vec::new();
    loop {
        let read = store
            .dead_letters_by(order, &filter, NOW, &page)
            .await
            .unwrap();
        assert!(read.items.len() <= limit as usize);
        seen.extend(read.items.iter().map(|letter| letter.id.0));
        match read.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => return seen,
        }
    }
}

/// The IDs whose age is in question, in order of intake.
fn aged(matches: impl Fn(u64) -> bool) -> Vec<i64> {
    let ids = (1_i64..).zip(AGES).filter(|(_, age)| matches(*age));
    ids.map(|(id, _)| id).collect()
}

#[tokio::test]
async fn both_orders_walk_the_same_in_opposite_directions() {
    let fixture = filled().await;
    let cases = [
        ("", aged(|_| true)),
        ("status:open", aged(|_| true)),
        ("late", aged(|_| true)),
        ("-nowhere", aged(|_| true)),
        ("dlq:nowhere", vec![]),
        ("late age:>1d", vec![]),
        ("late age:<1s", vec![]),
        ("age:<1s", vec![]),
        ("age:>1d", vec![]),
        ("age:<15s", aged(|age| age < 15)),
        ("age:<60s", aged(|age| age < 60)),
        ("late age:<60s", aged(|age| age < 60)),
        ("age:<100s", aged(|_| true)),
        ("age:>60s", aged(|age| age > 60)),
        ("age:>15s late", aged(|age| age > 15)),
        ("age:>15s age:<60s", aged(|age| 15 < age && age < 60)),
        ("-age:<60s", aged(|age| age >= 60)),
        ("-age:>60s status:open", aged(|age| age <= 60)),
        ("after:1970-01-02T03:45:50Z", aged(|age| age <= 50)),
        ("before:1970-01-02T03:45:50Z late", aged(|age| age > 50)),
        ("late odd", (1..=12).filter(|id| id % 2 == 1).collect()),
    ];
    for (filter, mut expected) in cases {
        for limit in [1, 2, 5, 50] {
            let oldest = walked(&fixture.store, DeadLetterOrder::Oldest, filter, limit).await;
            assert_eq!(oldest, expected, "{filter:?} by {limit}, oldest first");
        }
        expected.reverse();
        for limit in [1, 2, 5, 50] {
            let newest = walked(&fixture.store, DeadLetterOrder::Newest, filter, limit).await;
            assert_eq!(newest, expected, "{filter:?} by {limit}, newest first");
        }
    }
}

#[test]
fn an_order_is_read_as_it_is_written() {
    for order in DeadLetterOrder::ALL {
        assert_eq!(DeadLetterOrder::parse(order.as_str()), Some(order));
    }
    for text in ["", "Newest", "-newest", "age"] {
        assert_eq!(DeadLetterOrder::parse(text), None, "{text}");
    }
}
