use super::*;
use crate::store::tests::fixture;

fn span(trace: u8, span: u8, at: i64) -> ExportedSpan {
    ExportedSpan {
        trace: [trace; 16],
        span: [span; 8],
        at: Timestamp(at),
    }
}

async fn known(store: &Store, trace: u8) -> Vec<u8> {
    let spans = store.exported_spans([trace; 16]).await.unwrap();
    spans.into_iter().map(|span| span[0]).collect()
}

#[tokio::test]
async fn exported_spans_are_known_until_they_are_old_or_too_many() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let spans: Vec<_> = (0..6)
        .map(|number| span(1, number, number.into()))
        .collect();
    store.put_exported_spans(&spans).await.unwrap();
    // The later time counts, whichever comes last.
    store
        .put_exported_spans(&[span(1, 0, 9), span(2, 7, 8)])
        .await
        .unwrap();
    store.put_exported_spans(&[span(1, 0, 1)]).await.unwrap();
    assert_eq!(known(store, 1).await, [0, 1, 2, 3, 4, 5]);
    let pruned = store.prune_exported_spans(Timestamp(3), 100).await;
    assert_eq!(pruned.unwrap(), None);
    assert_eq!(known(store, 1).await, [0, 3, 4, 5]);
    let pruned = store.prune_exported_spans(Timestamp(0), 2).await;
    assert_eq!(
        pruned.unwrap(),
        Some(Timestamp(8)),
        "what is older is forgotten"
    );
    assert_eq!(
        (known(store, 1).await, known(store, 2).await),
        (vec![0], vec![7])
    );
}

#[tokio::test]
async fn an_export_begins_at_the_end_and_goes_on_where_it_was() {
    let fixture = fixture().await;
    let store = &fixture.store;
    assert_eq!(store.export_position().await.unwrap(), None);
    let mut position = store.export_end(Timestamp(7)).await.unwrap();
    assert_eq!(
        (position.event, position.letter, position.replay_ms),
        (0, 0, 7)
    );
    for event in [5, 4] {
        position.event = event;
        store.put_export_position(position).await.unwrap();
        assert_eq!(store.export_position().await.unwrap(), Some(position));
    }
}
