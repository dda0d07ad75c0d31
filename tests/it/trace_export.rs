//! Stitched traces as a backend of OTLP gets them.

use std::collections::HashSet;

use redrive::config::{Config, ExportProtocol};
use redrive::domain::Timestamp;
use redrive::domain::conventions::{
    CAUSATION_ID, CONSUMER_GROUP, CORRELATION_ID, ERROR_CLASS, EVENT_ID, EVENT_TYPE,
    ORIGINAL_OFFSET, ORIGINAL_PARTITION, ORIGINAL_TOPIC,
};
use redrive::traces::TraceId;

use crate::intake::Redrive;
use crate::support::dashboard::Dashboard;
use crate::support::otlp::{Answer, OtlpReceiver, SentSpan, text};
use crate::support::replays::{ORIGINAL, Running, impatient_kafka, new_store};
use crate::support::trace_exports::{Export, event, put, received, to};
use crate::support::visitor::get;
use crate::support::{eventually, unique};
use crate::traces::Site;

/// A line a span: service, name, what it hangs below, whether it is an error.
fn told(spans: &[SentSpan], names: &[(&str, &str)]) -> Vec<String> {
    let renamed = |text: &str| {
        let each = names.iter().copied();
        each.fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    let name = |id: &[u8]| {
        let found = spans.iter().find(|sent| sent.span.span_id == id);
        found.map_or_else(String::new, |sent| sent.span.name.clone())
    };
    let line = |sent: &SentSpan| {
        let span = &sent.span;
        let below = name(&span.parent_span_id);
        let links = if span.links.is_empty() {
            ""
        } else {
            ", linked"
        };
        let error = match &span.status {
            Some(status) if status.code == 2 => ", error",
            _ => "",
        };
        renamed(&format!(
            "{}: {} below {below:?}{links}{error}",
            sent.service, span.name
        ))
    };
    let mut lines: Vec<String> = spans.iter().map(line).collect();
    lines.sort_unstable();
    lines
}

/// An order whose first event caused a payment, died, and was replayed.
async fn a_story_is_exported(protocol: ExportProtocol, gzip: bool) {
    let receiver = OtlpReceiver::start(Answer::Take).await;
    let site = Site::new().await;
    let redrive = Redrive::start(site.config(), &site.folder).await;
    site.until_it_is_followed(&redrive).await;
    let mut config = to(&receiver.address, protocol);
    config.traces.export.gzip = gzip;
    // Only what failed.
    config.traces.export.sample_ratio = 0.0;
    let export = Export::started(config, &redrive.store).await;
    let order = unique("order");
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let created = [
        (CORRELATION_ID, order.as_str()),
        (EVENT_ID, "e1"),
        (EVENT_TYPE, "OrderCreated"),
        ("traceparent", parent),
    ];
    let offset = site.send(&site.orders, &created, "{}").await.to_string();
    let paid = [
        (CORRELATION_ID, order.as_str()),
        (EVENT_ID, "e2"),
        (CAUSATION_ID, "e1"),
    ];
    site.send(&site.payments, &paid, "{}").await;
    site.send(&site.orders, &[(CORRELATION_ID, "boring")], "{}")
        .await;
    let death = [
        (CORRELATION_ID, order.as_str()),
        (EVENT_ID, "e1"),
        (ERROR_CLASS, "Timeout"),
        (CONSUMER_GROUP, "billing"),
        (ORIGINAL_TOPIC, site.orders.as_str()),
        (ORIGINAL_PARTITION, "0"),
        (ORIGINAL_OFFSET, &offset),
    ];
    site.send(&site.dlq, &death, "{}").await;
    let dead = redrive.await_dead_letters(1).await[0].id;
    received(&receiver, 5).await;
    let running = Running::engines(impatient_kafka(), &redrive.store);
    running.replay(&[dead], ORIGINAL).await;
    // The replay, and its copy as the tap saw it.
    let spans = received(&receiver, 7).await;
    let names = [
        (site.orders.as_str(), "ORDERS"),
        (site.payments.as_str(), "PAYMENTS"),
    ];
    let expected = [
        "billing: process ORDERS below \"send ORDERS\", error",
        "kafka: process ORDERS below \"send ORDERS\"",
        "kafka: send ORDERS below \"OrderCreated\", linked",
        "kafka: send PAYMENTS below \"process ORDERS\"",
        "redrive: OrderCreated below \"\"",
        "redrive: send ORDERS below \"process ORDERS\"",
        "redrive: send ORDERS below \"send ORDERS\"",
    ];
    assert_eq!(told(&spans, &names), expected);
    export.stop().await;
    running.stop().await;
    redrive.stop().await;

    let trace = TraceId::of(&order).unwrap().0;
    assert!(
        spans
            .iter()
            .all(|sent| sent.span.trace_id == trace && sent.host == "redrive")
    );
    for headers in receiver.headers() {
        assert_eq!(headers["x-api-key"], "hush");
        let name = match protocol {
            ExportProtocol::Grpc => "grpc-encoding",
            ExportProtocol::Http => "content-encoding",
        };
        assert_eq!(headers.get(name).is_some_and(|how| how == "gzip"), gzip);
    }
    let died = spans
        .iter()
        .find(|sent| sent.span.status.is_some())
        .unwrap();
    let attributes = &died.span.attributes;
    assert_eq!(text(attributes, "error.type"), "Timeout");
    assert_eq!(text(attributes, "messaging.message.conversation_id"), order);
    assert_eq!(text(attributes, "redrive.dlq"), site.dlq.as_str());
}

#[tokio::test]
async fn a_story_is_exported_by_grpc() {
    a_story_is_exported(ExportProtocol::Grpc, true).await;
}

#[tokio::test]
async fn a_story_is_exported_by_http() {
    a_story_is_exported(ExportProtocol::Http, true).await;
}

#[tokio::test]
async fn a_request_can_be_sent_plain() {
    let store = new_store().await;
    for protocol in [ExportProtocol::Grpc, ExportProtocol::Http] {
        let receiver = OtlpReceiver::start(Answer::TakeSilently).await;
        let mut config = to(&receiver.address, protocol);
        config.traces.export.gzip = false;
        let export = Export::started(config, &store.store).await;
        put(&store.store, &[event(1, protocol.as_str(), "a", "")]).await;
        received(&receiver, 2).await;
        let headers = &receiver.headers()[0];
        assert!(
            !headers.contains_key("content-encoding") && !headers.contains_key("grpc-encoding")
        );
        export.stop().await;
    }
}

#[tokio::test]
async fn a_restart_sends_nothing_twice_and_what_came_meanwhile() {
    let receiver = OtlpReceiver::start(Answer::Take).await;
    let config = to(&receiver.address, ExportProtocol::Grpc);
    let fixture = new_store().await;
    let store = &fixture.store;
    put(store, &[event(0, "before", "z", "")]).await;
    let export = Export::started(config.clone(), store).await;
    put(store, &[event(1, "o", "a", ""), event(2, "o", "b", "a")]).await;
    // Two messages, a hop and the root; nothing of what was there before the first start.
    received(&receiver, 4).await;
    export.stop().await;

    put(store, &[event(3, "o", "c", "b"), event(1, "o", "a", "")]).await;
    let export = Export::start(config.clone(), store);
    received(&receiver, 6).await;
    export.stop().await;

    // As after a crash, which may forget how far it was.
    store
        .put_export_position(redrive::store::ExportPosition::default())
        .await
        .unwrap();
    let export = Export::start(config, store);
    put(store, &[event(4, "last", "a", "")]).await;
    let spans = received(&receiver, 10).await;
    let ids: HashSet<_> = spans
        .iter()
        .map(|sent| (&sent.span.trace_id, &sent.span.span_id))
        .collect();
    assert_eq!((ids.len(), spans.len()), (10, 10));
    export.stop().await;
}

#[tokio::test]
async fn a_backend_that_was_away_gets_all_when_it_is_back() {
    for protocol in [ExportProtocol::Grpc, ExportProtocol::Http] {
        // Nobody listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        drop(port);
        let fixture = new_store().await;
        let config = to(&format!("http://{address}"), protocol);
        let mut export = Export::started(config.clone(), &fixture.store).await;
        let events: Vec<_> = (0..700)
            .map(|n| event(n, &format!("o{n}"), "a", ""))
            .collect();
        put(&fixture.store, &events).await;
        let status = eventually("it says that it cannot send", async || {
            let status = export.board.status();
            (status.is_failing && status.waiting > 0).then_some(status)
        })
        .await;
        let (problem, _) = status.last_problem.unwrap();
        assert!(problem.contains("refused"), "{problem}");
        assert_eq!(
            (status.sent, status.refused, status.last_success),
            (0, 0, None)
        );
        // What waits is in the store.
        if protocol == ExportProtocol::Http {
            export.stop().await;
            export = Export::start(config, &fixture.store);
        }
        let receiver = OtlpReceiver::start_at(&address.to_string(), Answer::ComeLater).await;
        eventually("it is asked again", async || {
            (receiver.requests() > 0).then_some(())
        })
        .await;
        receiver.answer(Answer::Take);
        let spans = received(&receiver, 1_400).await;
        let ids: HashSet<_> = spans.iter().map(|sent| &sent.span.span_id).collect();
        assert_eq!(ids.len(), 1_400);
        let status = eventually("it says that it sends", async || {
            let status = export.board.status();
            (status.waiting == 0).then_some(status)
        })
        .await;
        assert!(!status.is_failing && status.last_success.is_some());
        assert!(export.exposes("redrive_trace_export_spans_total{outcome=\"sent\"} 1400"));
        assert!(export.exposes("redrive_trace_export_waiting_traces 0"));
        export.stop().await;
    }
}

#[tokio::test]
async fn what_a_backend_leaves_out_or_refuses_is_counted_and_not_sent_again() {
    for protocol in [ExportProtocol::Grpc, ExportProtocol::Http] {
        let receiver = OtlpReceiver::start(Answer::LeaveOut(1, "a span is too old")).await;
        let fixture = new_store().await;
        let config = to(&receiver.address, protocol);
        let export = Export::started(config, &fixture.store).await;
        put(
            &fixture.store,
            &[event(1, "o", "a", ""), event(2, "o", "b", "a")],
        )
        .await;
        let problem = async |count: u64| {
            let status = eventually("the refusal is counted", async || {
                let status = export.board.status();
                (status.refused >= count).then_some(status)
            })
            .await;
            (
                status.last_problem.unwrap().0,
                status.sent,
                status.is_failing,
            )
        };
        let expected = "it left out 1 of 4 spans: a span is too old".to_owned();
        assert_eq!(problem(1).await, (expected, 3, false));
        receiver.answer(Answer::Refuse("no such tenant"));
        put(&fixture.store, &[event(3, "o", "c", "")]).await;
        let (said, sent, is_failing) = problem(2).await;
        assert!(said.contains("no such tenant") && is_failing, "{said}");
        assert_eq!(sent, 3);
        receiver.answer(Answer::Take);
        put(&fixture.store, &[event(4, "o", "d", "")]).await;
        received(&receiver, 5).await;
        let asked = receiver.requests();
        assert_eq!(asked, 3);
        assert!(export.exposes("redrive_trace_export_spans_total{outcome=\"refused\"} 2"));
        export.stop().await;
    }
}

#[tokio::test]
async fn events_that_left_the_store_before_they_were_sent_are_counted() {
    let fixture = new_store().await;
    let store = &fixture.store;
    let receiver = OtlpReceiver::start(Answer::Take).await;
    let config = to(&receiver.address, ExportProtocol::Grpc);
    Export::started(config.clone(), store).await.stop().await;
    let events: Vec<_> = (0..10)
        .map(|n| event(n, &format!("o{n}"), "a", ""))
        .collect();
    put(store, &events).await;
    store.prune_traced_events(Timestamp(0), 3).await.unwrap();
    let export = Export::start(config, store);
    received(&receiver, 6).await;
    assert_eq!(export.board.status().given_up, 7);
    export.stop().await;
}

#[tokio::test]
async fn status_shows_the_export_and_no_secret() {
    let config = "[traces.export]\nprotocol = 'http'\nendpoint = 'http://otlp.example/v1/traces?key=hush'\n\
                  headers = { x-api-key = 'hush' }";
    let config = Config::parse(config, []).unwrap();
    let dashboard = Dashboard::serve(redrive::domain::Snapshot::default(), config).await;
    dashboard.state.trace_export.change(|status| {
        status.last_problem = Some(("it answered 401: <no key>".to_owned(), Timestamp::now()));
        status.is_failing = true;
        status.refused = 4_711;
    });
    let (_, _, html) = get(&dashboard, "/status").await;
    for part in [
        "Export of traces",
        "http://otlp.example/v1/traces<",
        "it answered 401: &lt;no key&gt;",
        "4,711",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("hush"));
}
