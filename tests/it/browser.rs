//! Pages in a real browser: contrast, keyboard, overflow, no refused resources.

use std::path::PathBuf;

use redrive::domain::Timestamp;

use crate::support::browser::Browser;
use crate::support::dashboard::Dashboard;
use crate::support::stored_letters::{Letter, kafka_letter};

/// Light and dark, wide and narrow.
const SCREENS: [(&str, u32, u32); 4] = [
    ("light", 1440, 900),
    ("dark", 1440, 900),
    ("light", 360, 740),
    ("dark", 360, 740),
];

const PAGES: [(&str, &str); 39] = [
    ("overview", "/"),
    ("consumers", "/consumers"),
    ("group", "/consumers/kafka/payment-consumers"),
    ("queues", "/queues"),
    ("queue", "/queues/rabbitmq/%2F/orders.dlq"),
    ("queue-circling", "/queues/rabbitmq/%2F/payments.queue"),
    ("queue-unroutable", "/queues/rabbitmq/%2F/audit.fanout"),
    ("queue-custody", "/queues/rabbitmq/%2F/orders.dlq/custody"),
    ("failures", "/dead-letters"),
    ("failure-group", "/failure-groups/v1%3A00000000000002db"),
    ("pivot", "/dead-letters/by/source"),
    ("list", "/dead-letters/list?filter=status:open"),
    (
        "list-columns",
        "/dead-letters/list?sort=oldest&columns=status,died,taken,place,offset,key,correlation,aggregate,consumer,tried,size,error",
    ),
    ("bad-filter", "/dead-letters/list?filter=colour:red"),
    ("letter", "/dead-letters/12"),
    ("letter-error", "/dead-letters/12?tab=error"),
    ("letter-headers", "/dead-letters/42?tab=headers"),
    ("letter-history", "/dead-letters/3?tab=history"),
    ("letter-binary", "/dead-letters/10"),
    ("edit", "/dead-letters/12/edit"),
    ("replays", "/replays"),
    ("unknown", "/replays/unknown"),
    ("unknown-none", "/replays/unknown?filter=dlq:nowhere"),
    ("awaiting", "/replays/awaiting"),
    ("preflight", "/replays/new?filter=status:open"),
    ("repair", "/repairs/new?filter=status:open"),
    ("preflight-one", "/replays/new?id=12"),
    ("traces", "/traces"),
    ("traces-none", "/traces?id=nobody"),
    ("flow", "/flow"),
    ("flow-around", "/flow?name=orders"),
    ("duplicates", "/duplicates"),
    ("trace", "/traces/9f0c2a41-55aa-4c1e-8f00-1234567890ab"),
    ("letter-trace", "/dead-letters/12?tab=trace"),
    ("alerts", "/alerts"),
    ("alert", "/alerts/KafkaConsumerNearDataLoss"),
    ("audit", "/audit"),
    ("status", "/status"),
    ("not-found", "/nowhere"),
];

/// Set to a folder to get a picture of every page, light and dark, wide and narrow.
fn screenshot_folder() -> Option<PathBuf> {
    std::env::var_os("REDRIVE_TEST_SCREENSHOTS").map(PathBuf::from)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_pictured() {
    let Some(folder) = screenshot_folder() else {
        return;
    };
    let dashboard = Dashboard::busy().await;
    let browser = Browser::start().await;
    for (name, path) in PAGES {
        for (scheme, width, height) in SCREENS {
            browser.prefer(scheme).await;
            browser.resize(width, height).await;
            browser.goto(&dashboard.url(path)).await;
            let file = folder.join(format!("{name}-{width}-{scheme}.png"));
            browser.screenshot(&file).await;
        }
    }
    browser.close().await;
}

/// Every text of the page that stands out too little from what is behind it, with its ratio (WCAG
/// 2.2): text is what has characters of its own, the ground the nearest opaque background.
const CONTRAST: &str = r#"
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (color) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const ground = (element) => {
        for (let e = element; e; e = e.parentElement) {
            const color = rgba(getComputedStyle(e).backgroundColor);
            if (color[3] === 255) return color;
        }
        return [255, 255, 255, 255];
    };
    const found = [];
    let checked = 0;
    for (const element of document.body.querySelectorAll("*")) {
        const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
        const box = element.getBoundingClientRect();
        if (!own || box.width < 2 || box.height < 2 || !element.checkVisibility()) continue;
        if (element.closest(".hidden, .skip, [aria-disabled], :disabled")) continue;
        const style = getComputedStyle(element);
        const color = rgba(element.namespaceURI.endsWith("svg") ? style.fill : style.color);
        const [a, b] = [luminance(color), luminance(ground(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        checked += 1;
        if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${element.tagName}.${element.className} "${element.textContent.trim().slice(0, 40)}"`);
    }
    return { checked, found };
"#;

#[tokio::test(flavor = "multi_thread")]
async fn text_stands_out_in_both_themes() {
    let dashboard = Dashboard::busy().await;
    let browser = Browser::start().await;
    browser.resize(1440, 900).await;
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        for (_, path) in PAGES {
            browser.goto(&dashboard.url(path)).await;
            let result = browser.execute(CONTRAST).await;
            assert!(result["checked"].as_u64().unwrap() > 10, "{path}: {result}");
            assert_eq!(result["found"], serde_json::json!([]), "{scheme} {path}");
        }
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_is_wider_than_its_window_or_asks_for_what_is_refused() {
    let dashboard = Dashboard::busy().await;
    let browser = Browser::start().await;
    for (_, width, height) in SCREENS {
        browser.resize(width, height).await;
        for (_, path) in PAGES {
            browser.goto(&dashboard.url(path)).await;
            // Not `innerWidth`: on a small screen it grows with a page that is too wide.
            let script = "return document.documentElement.scrollWidth";
            let wide = browser.execute(script).await.as_u64().unwrap();
            assert!(wide <= u64::from(width), "{path} is {wide} wide at {width}");
            let log = browser.console().await;
            // It may come when the next page is open already.
            let expected = |line: &String| line.contains("/nowhere") && line.contains("404");
            let unexpected: Vec<_> = log.iter().filter(|line| !expected(line)).collect();
            assert!(unexpected.is_empty(), "{path}: {unexpected:?}");
        }
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_can_be_used_is_reached_by_the_keyboard() {
    let dashboard = Dashboard::busy().await;
    let browser = Browser::start().await;
    browser.resize(1440, 900).await;
    let missed = r#"
        const usable = "a[href], button, input:not([type=hidden]), select, textarea, summary";
        return [...document.querySelectorAll(usable)]
            .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.disabled)
            .filter((e) => { e.focus(); return document.activeElement !== e; })
            .map((e) => e.outerHTML.slice(0, 120));
    "#;
    let unnamed = r#"
        const named = (e) => e.labels?.length || e.ariaLabel || e.textContent.trim() || e.title
            || e.getAttribute("aria-labelledby");
        return [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea")]
            .filter((e) => !e.closest("[hidden]") && !named(e))
            .map((e) => e.outerHTML.slice(0, 120));
    "#;
    for (_, path) in PAGES {
        browser.goto(&dashboard.url(path)).await;
        let none = serde_json::json!([]);
        assert_eq!(
            browser.execute(missed).await,
            none,
            "{path} cannot be focused"
        );
        assert_eq!(
            browser.execute(unnamed).await,
            none,
            "{path} has what has no name"
        );
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shortcuts_move_select_and_open() {
    let dashboard = Dashboard::busy().await;
    let browser = Browser::start().await;
    browser.resize(1440, 900).await;
    let list = dashboard.url("/dead-letters/list?filter=status:open");
    browser.goto(&list).await;
    browser.press("jjx").await;
    let chosen =
        "return [...document.querySelectorAll('input[name=id]:checked')].map((e) => e.value)";
    assert_eq!(browser.execute(chosen).await, serde_json::json!(["45"]));
    let button = "return document.querySelector('[data-selected-verb=Replay]').textContent";
    assert_eq!(browser.execute(button).await, "Replay the 1 selected…");
    browser.press("/").await;
    assert_eq!(
        browser.execute("return document.activeElement.id").await,
        "filter"
    );
    browser.goto(&list).await;
    browser.press("je").await;
    browser
        .until(
            "the editor is open",
            "return location.pathname === '/dead-letters/46/edit'",
        )
        .await;
    browser.goto(&dashboard.url("/dead-letters/12")).await;
    browser.press("?").await;
    assert_eq!(
        browser
            .execute("return !!document.querySelector('.help')")
            .await,
        true
    );
    browser.press("r").await;
    browser
        .until(
            "the pre-flight is open",
            "return location.pathname === '/replays/new'",
        )
        .await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_event_is_edited_and_replayed_by_clicks() {
    let dashboard = Dashboard::busy().await;
    let browser = Browser::start().await;
    browser.resize(1440, 900).await;
    browser.goto(&dashboard.url("/dead-letters/13")).await;
    browser.click("header.page a[data-edit]").await;
    let broken = "document.getElementById('body').value = '{'; document.getElementById('body').dispatchEvent(new Event('input', { bubbles: true })); return document.querySelector('[data-json-check]').className";
    assert_eq!(browser.execute(broken).await, "status warning");
    browser
        .execute("document.getElementById('body').value = ''")
        .await;
    browser
        .type_into("#body", "{\"data\":{\"customerId\":\"cust-17\"}}")
        .await;
    browser.click("button[value=review]").await;
    browser
        .until(
            "the difference is shown",
            "return !!document.querySelector('.diff .ins')",
        )
        .await;
    browser.click("button[value=replay]").await;
    browser
        .until(
            "the pre-flight is shown",
            "return location.pathname === '/replays/new'",
        )
        .await;
    browser.click("main form .actions button.primary").await;
    browser
        .until(
            "the job is shown",
            "return /^\\/replays\\/[0-9a-f-]{36}$/.test(location.pathname)",
        )
        .await;
    let status = "return document.querySelector('[data-live=events] .status').textContent";
    assert_eq!(browser.execute(status).await, "planned");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_appears_without_a_reload() {
    let dashboard = Dashboard::busy().await;
    let browser = Browser::start().await;
    browser.resize(1440, 900).await;
    browser
        .goto(&dashboard.url("/dead-letters/list?filter=status:open"))
        .await;
    browser.execute("window.stillHere = true").await;
    let letter = kafka_letter(&Letter {
        offset: 900,
        event_type: "OrderCancelled",
        class: "Late",
        message: "arrived after the page",
        body: b"{}",
        age: 1,
    });
    let store = &dashboard.state.store;
    store
        .index_kafka_batch(&"kafka".into(), &[letter], &[], &[], Timestamp::now())
        .await
        .unwrap();
    let arrived = "return document.body.textContent.includes('OrderCancelled')";
    browser.until("the new dead letter is shown", arrived).await;
    assert_eq!(browser.execute("return window.stillHere").await, true);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_theme_is_chosen_and_kept() {
    let dashboard = Dashboard::busy().await;
    let browser = Browser::start().await;
    browser.prefer("light").await;
    browser.goto(&dashboard.url("/")).await;
    let choose = "const s = document.getElementById('theme'); s.value = 'dark'; s.dispatchEvent(new Event('change'))";
    browser.execute(choose).await;
    let ground = "return getComputedStyle(document.body).backgroundColor";
    let dark = browser.execute(ground).await;
    browser.goto(&dashboard.url("/audit")).await;
    assert_eq!(
        browser
            .execute("return document.documentElement.dataset.theme")
            .await,
        "dark"
    );
    assert_eq!(browser.execute(ground).await, dark);
    assert_eq!(dark, "rgb(14, 18, 24)");
    browser.close().await;
}
