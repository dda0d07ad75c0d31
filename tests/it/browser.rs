//! Pages in a real browser: contrast, keyboard, overflow, no refused resources.

use std::path::PathBuf;

use crate::support::browser::Browser;
use crate::support::dashboard::Dashboard;

const PAGES: [(&str, &str); 20] = [
    ("overview", "/"),
    ("consumers", "/consumers"),
    ("group", "/consumers/kafka/payment-consumers"),
    ("queues", "/queues"),
    ("queue", "/queues/rabbitmq/%2F/orders.dlq"),
    ("failures", "/dead-letters"),
    ("list", "/dead-letters/list?filter=status:open"),
    ("bad-filter", "/dead-letters/list?filter=colour:red"),
    ("letter", "/dead-letters/12"),
    ("letter-error", "/dead-letters/12?tab=error"),
    ("letter-headers", "/dead-letters/42?tab=headers"),
    ("letter-history", "/dead-letters/3?tab=history"),
    ("letter-binary", "/dead-letters/10"),
    ("edit", "/dead-letters/12/edit"),
    ("replays", "/replays"),
    ("preflight", "/replays/new?filter=status:open"),
    ("preflight-one", "/replays/new?id=12"),
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
        for (scheme, width, height) in [
            ("light", 1440, 900),
            ("dark", 1440, 900),
            ("light", 360, 740),
            ("dark", 360, 740),
        ] {
            browser.prefer(scheme).await;
            browser.resize(width, height).await;
            browser.goto(&dashboard.url(path)).await;
            browser
                .screenshot(&folder.join(format!("{name}-{width}-{scheme}.png")))
                .await;
        }
    }
    browser.close().await;
}
