//! The filter language: what is read is read again from its own text, and the store answers it, a term and
//! its negation sharing all dead letters between them.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use redrive::config::Config;
use redrive::dead_letters::from_export;
use redrive::domain::{DeadLetterId, DeadLetterStatus, Filter, FilterCondition, FilterTerm};
use redrive::store::{ImportedDeadLetter, NewAuditEntry};
use serde_json::json;

use crate::dialects::{NOW, exported};
use crate::site::Site;
use crate::{html, letters};

/// What is searched: both systems, with and without each field.
const LETTERS: [&[u8]; 5] = [
    b"kafka orders.dlq\n@key: order-1042\neventType: OrderCreated\neventId: e-1\ncorrelationId: c 7\n\
      x-error-class: com.acme.Timeout\nx-error-message: gateway did not answer within 2000 ms\n\
      x-original-topic: orders\ntenant: acme\n\n{\"customerId\":\"cust-17\",\"items\":[{\"sku\":\"A-100\",\"n\":2}]}",
    b"kafka orders.dlq\ntenant:\nempty\n\n",
    b"rabbitmq billing.dlq\n@type: InvoicePaid\nx-death:=[{count=i3,reason=Srejected,queue=Sbilling,exchange=S,\
      routing-keys=[Sbilling],time=T1700000000}]\n\n\xff\xfe",
    "kafka größe*?[x]\neventType: \"Größe\" \\\\ äöü\n\n{\"straße\":{\"\":[null,true,1e9]}}".as_bytes(),
    b"rabbitmq q\n\nplain text",
];

thread_local! {
    static SITE: OnceCell<Site> = const { OnceCell::new() };
}

pub(crate) fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    SITE.with(|site| with_site(site.get_or_init(filled), text));
}

fn filled() -> Site {
    let site = Site::new();
    let batch = (1..).zip(LETTERS).map(|(number, written)| {
        let (position, message) = letters::read(written);
        let mut line = exported(&position, &message);
        line.origin = format!("elsewhere/{number}");
        ImportedDeadLetter {
            letter: from_export(&line, &Config::default(), NOW),
            origin: line.origin,
            status: DeadLetterStatus::Open,
            revisions: Vec::new(),
        }
    });
    let entry = NewAuditEntry {
        at: NOW,
        actor: "anonymous".to_owned(),
        address: String::new(),
        action: "dead_letters.import".to_owned(),
        detail: json!({}),
    };
    site.wait(async {
        let imported = site.store.import(batch.collect(), &entry, NOW).await;
        imported.expect("they are stored");
        let indexed = site.store.catch_up_search_index().await;
        indexed.expect("they are indexed");
    });
    site
}

fn with_site(site: &Site, text: &str) {
    let page = site.get(&format!("/dead-letters/list?filter={}", encoded(text)));
    html::check(&page.1);
    let filter = match Filter::parse(text) {
        Ok(filter) => filter,
        Err(error) => {
            // Counted from 1; what is missing at the end is missing after the last one.
            let places = 1..=text.chars().count() + 1;
            assert!(places.contains(&error.position), "{error}");
            assert!(!error.message.is_empty() && !error.remedy.is_empty());
            return;
        }
    };
    assert_eq!(Filter::parse(filter.text()).as_ref(), Ok(&filter));
    assert!(!filter.describe().is_empty());
    filter.terms().iter().for_each(term_of_value_is_read_again);
    let found = matches(site, &filter);
    if let [term] = filter.terms() {
        negation_has_the_others(site, &filter, term, &found);
    }
}

/// A link that asks for a value asks for just that.
fn term_of_value_is_read_again(term: &FilterTerm) {
    let (FilterCondition::Is(value), true) = (&term.condition, term.path.is_empty()) else {
        return;
    };
    let read = Filter::parse(&term.field.term(value)).expect("a link has a filter");
    let expected = FilterTerm {
        negated: false,
        ..term.clone()
    };
    assert_eq!(read.terms(), [expected]);
}

fn negation_has_the_others(
    site: &Site,
    filter: &Filter,
    term: &FilterTerm,
    found: &BTreeSet<DeadLetterId>,
) {
    let text = filter.text();
    let negation = match text.strip_prefix('-') {
        // Text that begins with a dash can be asked for in quotes only.
        Some(rest) if rest.starts_with('-') => return,
        Some(rest) => rest.to_owned(),
        None => format!("-{text}"),
    };
    let negation = Filter::parse(&negation).expect("each term can be negated");
    let [negated] = negation.terms() else {
        panic!("one term became {:?}", negation.terms());
    };
    assert_eq!(
        (negated.negated, &negated.condition),
        (!term.negated, &term.condition)
    );
    let others = matches(site, &negation);
    assert!(others.is_disjoint(found));
    assert_eq!(others.len() + found.len(), LETTERS.len());
}

/// The same by every way in which the store is asked.
fn matches(site: &Site, filter: &Filter) -> BTreeSet<DeadLetterId> {
    let store = &site.store;
    let found = site.wait(store.matching_ids(filter, NOW, 1_000));
    let found = found.expect("the store answers every filter");
    let count = site.wait(store.count_dead_letters(filter, NOW)).ok();
    let up_to_limit = site.wait(store.count_up_to_limit(filter, NOW)).ok();
    let expected = Some(found.len() as u64);
    assert_eq!((count, up_to_limit), (expected, expected));
    found.into_iter().collect()
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        let _ = write!(encoded, "%{byte:02x}");
        encoded
    })
}
