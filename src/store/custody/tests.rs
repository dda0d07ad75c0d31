use super::*;
use crate::domain::{AmqpProperties, Custody, DeadLetterSummary, Filter};
use crate::store::PageRequest;
use crate::store::tests::{Fixture, NOW, fixture, queue_letter};

const QUEUE: &str = "orders.dlq";

async fn take(
    store: &Store,
    session: &CustodySession,
    batch: &[NewDeadLetter],
) -> Vec<DeadLetterSummary> {
    let indexed = store.take_custody(session, batch, NOW).await.unwrap();
    let mut rows = Vec::new();
    for entry in indexed {
        rows.push(store.dead_letter_summary(entry.id).await.unwrap());
    }
    rows
}

async fn all(store: &Store) -> Vec<DeadLetterSummary> {
    let page = PageRequest::first(100);
    let found = store.dead_letters(&Filter::default(), NOW, &page).await;
    let mut rows = found.unwrap().items;
    rows.sort_by_key(|row| row.id);
    rows
}

async fn look(store: &Store, window: &[NewDeadLetter]) {
    let place = (&"/".into(), &QUEUE.into());
    store
        .replace_window(&"c".into(), place, window, NOW)
        .await
        .unwrap();
}

fn first_delivery(fingerprint: &str) -> NewDeadLetter {
    queue_letter(fingerprint, Custody::Store)
}

fn redelivered(letter: &NewDeadLetter) -> NewDeadLetter {
    NewDeadLetter {
        redelivered: true,
        ..letter.clone()
    }
}

fn with_message_id(mut letter: NewDeadLetter) -> NewDeadLetter {
    letter.message.properties = Some(Box::new(AmqpProperties {
        message_id: Some("m".to_owned()),
        ..AmqpProperties::default()
    }));
    letter
}

/// A session that stored these messages and died before it acknowledged them.
async fn crashed_before_acknowledging(batch: &[NewDeadLetter]) -> Fixture {
    let fixture = fixture().await;
    let session = fixture.store.begin_custody().await.unwrap();
    let stored = take(&fixture.store, &session, batch).await;
    assert_eq!(stored.len(), batch.len());
    fixture
}

#[tokio::test]
async fn a_redelivery_with_an_identity_is_dropped_while_its_acknowledgement_is_open() {
    let letter = with_message_id(first_delivery("f"));
    let fixture = crashed_before_acknowledging(std::slice::from_ref(&letter)).await;
    let store = &fixture.store;
    // Twice, because the second session may crash as well.
    for _ in 0..2 {
        let session = store.begin_custody().await.unwrap();
        assert_eq!(
            take(store, &session, &[redelivered(&letter)]).await.len(),
            0
        );
    }
    let session = store.begin_custody().await.unwrap();
    take(store, &session, &[redelivered(&letter)]).await;
    store.acknowledged(&session).await.unwrap();
    let session = store.begin_custody().await.unwrap();
    let second = take(store, &session, &[redelivered(&letter)]).await;
    assert_eq!(
        second.len(),
        1,
        "the acknowledgement had arrived: it is another message"
    );
}

#[tokio::test]
async fn without_an_identity_a_redelivery_is_stored_and_marked_each_with_a_row_of_its_own() {
    let letter = first_delivery("f");
    let fixture = crashed_before_acknowledging(&[letter.clone(), letter.clone()]).await;
    let session = fixture.store.begin_custody().await.unwrap();
    let again = vec![redelivered(&letter); 3];
    let stored = take(&fixture.store, &session, &again).await;
    let twins: Vec<_> = stored.iter().map(|row| row.possible_duplicate_of).collect();
    assert_eq!(twins, [Some(DeadLetterId(1)), Some(DeadLetterId(2)), None]);
}

#[tokio::test]
async fn a_message_id_that_two_stored_messages_share_is_no_identity() {
    let letter = with_message_id(first_delivery("f"));
    let fixture = crashed_before_acknowledging(&[letter.clone(), letter.clone()]).await;
    let session = fixture.store.begin_custody().await.unwrap();
    let stored = take(&fixture.store, &session, &[redelivered(&letter)]).await;
    assert_eq!(stored[0].possible_duplicate_of, Some(DeadLetterId(1)));
}

/// The session died after its acknowledgement, and had been given the equal message beside.
#[tokio::test]
async fn what_comes_back_without_what_lay_before_it_is_another_message() {
    let (first, twin) = (first_delivery("e"), with_message_id(first_delivery("f")));
    let fixture = crashed_before_acknowledging(&[first.clone(), twin.clone()]).await;
    let store = &fixture.store;
    let session = store.begin_custody().await.unwrap();
    let stored = take(store, &session, &[redelivered(&twin)]).await;
    assert_eq!(stored[0].possible_duplicate_of, Some(DeadLetterId(2)));

    let fixture = crashed_before_acknowledging(&[first.clone(), twin.clone()]).await;
    let store = &fixture.store;
    let session = store.begin_custody().await.unwrap();
    let (first, twin) = (redelivered(&first), redelivered(&twin));
    let mut stored = take(store, &session, &[first]).await;
    stored.extend(take(store, &session, &[twin]).await);
    let twins: Vec<_> = stored.iter().map(|row| row.possible_duplicate_of).collect();
    assert_eq!(
        twins,
        [Some(DeadLetterId(1))],
        "the second came back in its turn"
    );
}

/// RabbitMQ 4.3 marks a rejected dead letter as redelivered at its first delivery.
#[tokio::test]
async fn the_same_event_that_died_twice_is_stored_twice() {
    let letter = redelivered(&with_message_id(first_delivery("f")));
    let fixture = fixture().await;
    let store = &fixture.store;
    let session = store.begin_custody().await.unwrap();
    let both = take(store, &session, &[letter.clone(), letter.clone()]).await;
    assert_eq!(both.len(), 2);
    let third = take(store, &session, std::slice::from_ref(&letter)).await;
    let marks = both
        .iter()
        .chain(&third)
        .map(|row| row.possible_duplicate_of);
    assert!(
        marks.into_iter().all(|mark| mark.is_none()),
        "one connection gets nothing twice"
    );
    store.acknowledged(&session).await.unwrap();
    let later = store.begin_custody().await.unwrap();
    let fourth = take(store, &later, std::slice::from_ref(&letter)).await;
    assert_eq!(fourth[0].possible_duplicate_of, Some(third[0].id));
}

#[tokio::test]
async fn what_a_later_session_read_to_the_end_and_did_not_get_was_acknowledged() {
    let letter = with_message_id(first_delivery("f"));
    let fixture = crashed_before_acknowledging(std::slice::from_ref(&letter)).await;
    let store = &fixture.store;
    let session = store.begin_custody().await.unwrap();
    let end_of = async |queue: &str| {
        store
            .queue_was_read_to_its_end(&session, &"c".into(), (&"/".into(), &queue.into()))
            .await
            .unwrap();
    };
    end_of("another").await;
    assert_eq!(
        take(store, &session, &[redelivered(&letter)]).await.len(),
        0
    );
    let later = store.begin_custody().await.unwrap();
    store
        .queue_was_read_to_its_end(&later, &"c".into(), (&"/".into(), &QUEUE.into()))
        .await
        .unwrap();
    assert_eq!(take(store, &later, &[redelivered(&letter)]).await.len(), 1);
}

#[tokio::test]
async fn observed_rows_are_adopted_each_once_when_their_queue_becomes_managed() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let observed = |name| queue_letter(name, Custody::Broker);
    let mut large = observed("b");
    large.message.body = None;
    large.body_omitted = Some("it is larger than the limit".to_owned());
    let windows = [
        vec![observed("a"), observed("a"), large],
        vec![observed("a")],
    ];
    for window in windows {
        look(store, &window).await;
    }
    let session = store.begin_custody().await.unwrap();
    let batch = ["a", "b", "a", "a", "c"].map(|name| redelivered(&first_delivery(name)));
    let indexed = store.take_custody(&session, &batch, NOW).await.unwrap();
    let fresh: Vec<_> = indexed.iter().map(|entry| entry.batch_index).collect();
    assert_eq!(fresh, [3, 4], "the third a and the c were in no window");
    let rows = all(store).await;
    assert_eq!(rows.len(), 5);
    let is_open_and_ours = |row: &DeadLetterSummary| {
        row.custody == Custody::Store && row.status == DeadLetterStatus::Open
    };
    assert!(rows.iter().all(is_open_and_ours), "{rows:?}");
    let adopted = store.dead_letter(DeadLetterId(3)).await.unwrap();
    assert_eq!(
        (adopted.body_omitted, adopted.message.body.is_some()),
        (None, true)
    );
}

#[tokio::test]
async fn an_adopted_row_is_recognised_like_any_other_after_a_crash() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let letter = with_message_id(redelivered(&first_delivery("f")));
    let seen = NewDeadLetter {
        custody: Custody::Broker,
        ..letter.clone()
    };
    look(store, &[seen]).await;
    for _ in 0..2 {
        let session = store.begin_custody().await.unwrap();
        assert_eq!(
            take(store, &session, std::slice::from_ref(&letter))
                .await
                .len(),
            0
        );
    }
}
