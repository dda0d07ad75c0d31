use super::*;
use crate::domain::{Custody, DeadLetterStatus, NewDeadLetter};
use crate::store::tests::{Fixture, NOW, entry, fixture, queue_letter};
use crate::store::{AuditFilter, PageRequest};

const ID: DeadLetterId = DeadLetterId(1);

/// A dead letter in the store that is about to go back; there it will have another fingerprint.
async fn returning() -> Fixture {
    let fixture = fixture().await;
    let store = &fixture.store;
    let session = store.begin_custody().await.unwrap();
    let letter = queue_letter("taken", Custody::Store);
    store.take_custody(&session, &[letter], NOW).await.unwrap();
    store.acknowledged(&session).await.unwrap();
    let returning = Returning {
        dead_letter: ID,
        fingerprint: "returned".to_owned(),
    };
    for expected in [vec![ID], vec![]] {
        let once = std::slice::from_ref(&returning);
        let begun = store.begin_returns(once, &entry()).await.unwrap();
        assert_eq!(begun, expected, "it begins once");
    }
    fixture
}

async fn status(store: &Store) -> (DeadLetterStatus, Custody) {
    let row = store.dead_letter_summary(ID).await.unwrap();
    (row.status, row.custody)
}

/// A look finds the message as it was returned. Answers the new rows.
async fn look(store: &Store) -> usize {
    let found: NewDeadLetter = queue_letter("returned", Custody::Broker);
    let place = (&"/".into(), &"orders.dlq".into());
    let replaced = store
        .replace_window(&"c".into(), place, &[found], NOW)
        .await;
    replaced.unwrap().len()
}

#[tokio::test]
async fn what_was_returned_is_the_same_row_when_it_is_seen_again() {
    let fixture = returning().await;
    let store = &fixture.store;
    store.end_return(ID).await.unwrap();
    assert_eq!(
        status(store).await,
        (DeadLetterStatus::Gone, Custody::Broker)
    );
    let last = store.return_of(ID).await.unwrap().unwrap();
    assert_eq!(
        (last.state, last.by.as_str()),
        (ReturnState::Returned, "alice")
    );
    assert_eq!(look(store).await, 0);
    assert_eq!(
        status(store).await,
        (DeadLetterStatus::Open, Custody::Broker)
    );
}

#[tokio::test]
async fn what_the_queue_refused_is_open_as_before() {
    let fixture = returning().await;
    let store = &fixture.store;
    store.undo_return(ID).await.unwrap();
    assert_eq!(
        status(store).await,
        (DeadLetterStatus::Open, Custody::Store)
    );
    assert!(store.return_of(ID).await.unwrap().is_none());
}

#[tokio::test]
async fn a_return_that_was_cut_short_keeps_the_row_and_marks_what_is_found_as_its_duplicate() {
    let fixture = returning().await;
    let store = &fixture.store;
    assert_eq!(store.doubt_unfinished_returns().await.unwrap(), 1);
    assert_eq!(store.doubt_unfinished_returns().await.unwrap(), 0);
    assert_eq!(
        status(store).await,
        (DeadLetterStatus::Open, Custody::Store)
    );
    let last = store.return_of(ID).await.unwrap().unwrap();
    assert_eq!(last.state, ReturnState::Unknown);
    assert_eq!(look(store).await, 1);
    let found = store.dead_letter_summary(DeadLetterId(2)).await.unwrap();
    assert_eq!(found.possible_duplicate_of, Some(ID));
}

#[tokio::test]
async fn of_a_chunk_that_failed_only_what_had_not_ended_is_doubted() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let session = store.begin_custody().await.unwrap();
    let letters = ["one", "two", "three"].map(|name| queue_letter(name, Custody::Store));
    store.take_custody(&session, &letters, NOW).await.unwrap();
    let ids = [1, 2, 3].map(DeadLetterId);
    let returning = ids.map(|id| Returning {
        dead_letter: id,
        fingerprint: format!("returned {id}"),
    });
    store.begin_returns(&returning, &entry()).await.unwrap();
    store.end_return(ids[0]).await.unwrap();
    store.undo_return(ids[1]).await.unwrap();
    store.doubt_returns(&ids).await.unwrap();
    let mut states = Vec::new();
    for id in ids {
        let last = store.return_of(id).await.unwrap();
        states.push(last.map(|last| last.state));
    }
    let expected = [
        Some(ReturnState::Returned),
        None,
        Some(ReturnState::Unknown),
    ];
    assert_eq!(states, expected);
}

#[tokio::test]
async fn a_managed_queue_that_brings_it_again_marks_it_too() {
    let fixture = returning().await;
    let store = &fixture.store;
    store.doubt_return(ID).await.unwrap();
    let session = store.begin_custody().await.unwrap();
    let again = queue_letter("returned", Custody::Store);
    let taken = store.take_custody(&session, &[again], NOW).await.unwrap();
    let row = store.dead_letter_summary(taken[0].id).await.unwrap();
    assert_eq!(row.possible_duplicate_of, Some(ID));
}

#[tokio::test]
async fn the_audit_names_what_began_and_nothing_else() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let session = store.begin_custody().await.unwrap();
    let letters = ["one", "two"].map(|name| queue_letter(name, Custody::Store));
    store.take_custody(&session, &letters, NOW).await.unwrap();
    let returning = [1, 2, 3].map(|id| Returning {
        dead_letter: DeadLetterId(id),
        fingerprint: format!("returned {id}"),
    });
    let begin = async |returning: &[Returning]| {
        store.begin_returns(returning, &entry()).await.unwrap();
        let page = PageRequest::first(10);
        let audit = store.audit(&AuditFilter::default(), &page).await.unwrap();
        let sets = audit.items.iter().map(|e| e.detail["dead_letters"].clone());
        sets.collect::<Vec<_>>()
    };
    assert_eq!(begin(&returning[1..2]).await, ["2"]);
    assert_eq!(begin(&returning).await, ["1", "2"], "the newest first");
    assert_eq!(begin(&returning).await, ["1", "2"], "nothing began");
}
