use askama::Template;
use askama::filters::Safe;

use super::freshness::{BrokerDot, broker_dots};
use crate::web::escape::Markup;
use crate::web::visit::{Theme, Visit};
use crate::web::{AppState, assets};

/// The entries of the rail, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NavigationEntry {
    Overview,
    Consumers,
    Queues,
    DeadLetters,
    Replays,
    Discarded,
    Traces,
    Alerts,
    Audit,
    Status,
    /// A page that is in no entry, for example an error.
    None,
}

const ENTRIES: [(NavigationEntry, &str, &str, &str); 10] = [
    (NavigationEntry::Overview, "/", "Overview", "overview"),
    (
        NavigationEntry::Consumers,
        "/consumers",
        "Consumers",
        "consumers",
    ),
    (NavigationEntry::Queues, "/queues", "Queues", "queues"),
    (
        NavigationEntry::DeadLetters,
        "/dead-letters",
        "Dead letters",
        "dead-letters",
    ),
    (NavigationEntry::Replays, "/replays", "Replays", "replays"),
    (
        NavigationEntry::Discarded,
        "/discards",
        "Discarded",
        "discarded",
    ),
    (NavigationEntry::Traces, "/traces", "Traces", "traces"),
    (NavigationEntry::Alerts, "/alerts", "Alerts", "alerts"),
    (NavigationEntry::Audit, "/audit", "Audit", "audit"),
    (NavigationEntry::Status, "/status", "Status", "status"),
];

pub(crate) struct RailLink {
    path: &'static str,
    label: &'static str,
    icon: &'static str,
    is_current: bool,
}

/// Everything around the content of a page.
#[derive(Template)]
#[template(path = "frame.html")]
pub(crate) struct Frame {
    title: String,
    rail: Vec<RailLink>,
    brokers: Vec<BrokerDot>,
    search: String,
    csrf: String,
    /// `light`, `dark`, or empty: as the system has it.
    theme: &'static str,
    /// Where the theme's form comes back to.
    here: String,
    stylesheet: String,
    script: String,
    icon: String,
    version: &'static str,
    content: Markup,
}

/// What the script swaps in place: the health of the brokers and the content.
#[derive(Template)]
#[template(path = "live.html")]
struct LiveParts {
    brokers: Vec<BrokerDot>,
    content: Markup,
}

impl Frame {
    pub(crate) fn new(
        state: &AppState,
        visit: &Visit,
        entry: NavigationEntry,
        title: &str,
        content: String,
    ) -> Self {
        let rail = ENTRIES.map(|(known, path, label, icon)| RailLink {
            path,
            label,
            icon,
            is_current: known == entry,
        });
        Self {
            title: title.to_owned(),
            rail: rail.into(),
            brokers: broker_dots(state, visit.now),
            search: visit.query.get("filter").unwrap_or("").to_owned(),
            csrf: visit.csrf.clone(),
            theme: visit.theme.map_or("", Theme::as_str),
            here: visit.query.url(&visit.path),
            stylesheet: assets::url("app.css"),
            script: assets::url("app.js"),
            icon: assets::url("icon.svg"),
            version: env!("CARGO_PKG_VERSION"),
            content: Safe(content),
        }
    }

    /// Renders what the script asks for instead of the whole page.
    pub(crate) fn live_parts(self) -> askama::Result<String> {
        let parts = LiveParts {
            brokers: self.brokers,
            content: self.content,
        };
        parts.render()
    }
}
