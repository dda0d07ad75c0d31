use proptest::prelude::*;

use super::*;

fn is(value: &str) -> FilterCondition {
    FilterCondition::Is(value.to_owned())
}

fn matches(pattern: &str) -> FilterCondition {
    FilterCondition::Matches(pattern.to_owned())
}

fn contains(part: &str) -> FilterCondition {
    FilterCondition::Contains(part.to_owned())
}

fn begins(part: &str) -> FilterCondition {
    FilterCondition::Begins(part.to_owned())
}

fn check(text: &str, expected: &[(bool, FilterField, FilterCondition)]) {
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let found: Vec<_> = filter
        .terms()
        .iter()
        .map(|term| (term.negated, term.field, term.condition.clone()))
        .collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn one_term_is_read_as_it_is_written() {
    use FilterField as F;
    let older = FilterCondition::OlderThan(Duration::from_hours(1));
    let younger = FilterCondition::YoungerThan(Duration::from_mins(10));
    let day_and_a_half = FilterCondition::OlderThan(Duration::from_hours(36));
    let cases = [
        ("status:open", F::Status, is("open")),
        ("STATUS:Open", F::Status, is("open")),
        ("source:orders", F::Source, is("orders")),
        ("source:order*", F::Source, matches("order*")),
        ("source:\"order*\"", F::Source, is("order*")),
        ("error:Timeout", F::Error, contains("Timeout")),
        ("error:\"timed out\"", F::Error, contains("timed out")),
        ("dlq:orders.dlq", F::Dlq, is("orders.dlq")),
        ("cluster:kafka", F::Cluster, is("kafka")),
        ("system:kafka", F::System, is("kafka")),
        ("system:RabbitMQ", F::System, is("rabbitmq")),
        ("vhost:/", F::Vhost, is("/")),
        (
            "consumer:payment-consumers",
            F::Consumer,
            is("payment-consumers"),
        ),
        ("type:OrderCreated", F::Type, is("OrderCreated")),
        ("group:v1:00ff", F::Group, is("v1:00ff")),
        ("correlation:a:b", F::Correlation, is("a:b")),
        ("causation:c", F::Causation, is("c")),
        ("event:4711", F::Event, is("4711")),
        ("aggregate:order-1", F::Aggregate, is("order-1")),
        ("reason:rejected", F::Reason, is("rejected")),
        ("reason:maxlen", F::Reason, is("maxlen")),
        ("age:>1h", F::Age, older),
        ("age:<10m", F::Age, younger),
        ("age:>1d12h", F::Age, day_and_a_half),
        ("\"free text\"", F::Text, contains("free text")),
        ("word", F::Text, contains("word")),
        ("12:30", F::Text, contains("12:30")),
        (
            "\"a \\\"b\\\" \\\\ \\n\"",
            F::Text,
            contains("a \"b\" \\ \\n"),
        ),
        ("\"http://host/x\"", F::Text, contains("http://host/x")),
        ("tim*", F::Text, begins("tim")),
        ("\"tim*\"", F::Text, contains("tim*")),
        ("error:java.util.Tim*", F::Error, begins("java.util.Tim")),
        ("payload.json", F::Text, contains("payload.json")),
        ("id:5", F::Id, FilterCondition::Ids(vec![(5, 5)])),
        (
            "id:1-500,502",
            F::Id,
            FilterCondition::Ids(vec![(1, 500), (502, 502)]),
        ),
        ("edited:yes", F::Edited, FilterCondition::Flag(true)),
        ("duplicate:NO", F::Duplicate, FilterCondition::Flag(false)),
        ("size:>10k", F::Size, FilterCondition::Larger(10_240)),
        ("size:<2M", F::Size, FilterCondition::Smaller(2 << 20)),
        (
            "after:2026-11-25",
            F::After,
            FilterCondition::Since(MIDNIGHT),
        ),
        (
            "before:2026-11-25T00:00",
            F::Before,
            FilterCondition::Until(MIDNIGHT),
        ),
        (
            "before:2026-11-25T01:00+01:00",
            F::Before,
            FilterCondition::Until(MIDNIGHT),
        ),
    ];
    for (text, field, condition) in cases {
        check(text, &[(false, field, condition.clone())]);
        check(&format!(" -{text} "), &[(true, field, condition)]);
    }
}

/// 2026-11-25 in UTC.
const MIDNIGHT: Timestamp = Timestamp(1_795_564_800_000);

#[test]
fn a_field_is_named_by_its_path() {
    use FilterField as F;
    let cases = [
        ("payload.customerId:42", F::Payload, "customerId", is("42")),
        (
            "payload.items[0].sku:A1",
            F::Payload,
            "items[0].sku",
            is("A1"),
        ),
        (
            "payload.items[].sku:\"A 1\"",
            F::Payload,
            "items[].sku",
            is("A 1"),
        ),
        ("payload.note:ord-*", F::Payload, "note", begins("ord-")),
        (
            "payload.\"first name\":Ann",
            F::Payload,
            "first name",
            is("Ann"),
        ),
        ("header.tenant:acme", F::Header, "tenant", is("acme")),
        (
            "header.\"cloudEvents:id\":7",
            F::Header,
            "cloudEvents:id",
            is("7"),
        ),
        ("HEADER.x-y:a:b", F::Header, "x-y", is("a:b")),
    ];
    for (text, field, path, condition) in cases {
        let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let term = &filter.terms()[0];
        let found = (term.field, term.path.as_str(), &term.condition);
        assert_eq!(found, (field, path, &condition), "{text}");
        assert!(Filter::parse(&format!("-{text}")).unwrap().terms()[0].negated);
    }
}

#[test]
fn terms_keep_their_order_and_the_text_is_kept() {
    let text = "status:open  -source:orders\t\"free text\"";
    check(
        text,
        &[
            (false, FilterField::Status, is("open")),
            (true, FilterField::Source, is("orders")),
            (false, FilterField::Text, contains("free text")),
        ],
    );
    assert_eq!(Filter::parse(&format!(" {text} ")).unwrap().text(), text);
}

#[test]
fn the_empty_filter_means_all() {
    for text in ["", "  \t "] {
        let filter = Filter::parse(text).unwrap();
        assert!(filter.is_empty());
        assert_eq!(filter, Filter::default());
        assert_eq!(filter.describe(), "all dead letters");
    }
}

#[test]
fn a_refusal_says_where_and_what_to_write_instead() {
    let cases = [
        (
            "status:done",
            8,
            "use one of open, replaying, replayed, gone",
        ),
        ("ü status:done", 10, "use one of open"),
        ("system:nats", 8, "use one of kafka, rabbitmq"),
        ("reason:because", 8, "use one of exception, rejected"),
        ("a stauts:open", 3, "use one of status, source"),
        ("http://host", 1, "put the text in quotes"),
        ("a payload:4", 3, "payload.customerId:42"),
        ("payload.:4", 1, "payload.customerId:42"),
        ("payload.a..b:4", 1, "payload.customerId:42"),
        ("payload.a[x]:4", 1, "payload.items[0]"),
        ("payload.a[1:4", 1, "payload.items[0]"),
        ("payload.a:", 11, "right after payload.a:"),
        ("header:x", 1, "header.tenant:acme"),
        ("header.\"a:x", 1, "header.tenant:acme"),
        ("a*", 1, "at least 3 characters"),
        ("ti*me", 1, "one star at the end"),
        ("abc-*", 1, "beginning of a word"),
        ("\"--\"", 1, "write a word"),
        ("payload.a:*", 11, "at least 3 characters"),
        ("id:x", 4, "id:1-500,502"),
        ("id:5-1", 4, "id:1-500,502"),
        ("edited:maybe", 8, "edited:yes or edited:no"),
        ("size:10k", 6, "size:>10k"),
        ("size:>99999999999999g", 6, "size:>10k"),
        ("after:yesterday", 7, "2026-11-25T10:00"),
        ("before:2026-13-01", 8, "2026-11-25T10:00"),
        ("status:", 8, "right after status:"),
        ("source: orders", 8, "right after source:"),
        ("source:\"\"", 8, "right after source:"),
        ("-", 2, "write what to look for"),
        ("\"\"", 1, "write what to look for"),
        ("x \"open", 3, "close it"),
        ("error:a\"b\"", 8, "the whole value in quotes"),
        ("\"a\"b", 4, "a space between"),
        ("age:1h", 5, "age:>1h"),
        ("age:>", 5, "age:>1h"),
        ("age:>1", 5, "age:>1h"),
        ("age:>h", 5, "age:>1h"),
        ("age:>1y", 5, "age:>1h"),
        ("age:>1h2", 5, "age:>1h"),
        ("age:>99999999999999999999s", 5, "age:>1h"),
        ("age:>18446744073709551615w", 5, "age:>1h"),
        ("age:>18446744073709551615s", 5, "age:>1h"),
        ("age:ü1h", 5, "age:>1h"),
    ];
    for (text, position, remedy) in cases {
        let error = Filter::parse(text).expect_err(text);
        assert_eq!(error.position, position, "{text}: {error}");
        assert!(error.remedy.contains(remedy), "{text}: {error}");
    }
}

#[test]
fn an_error_points_at_its_place_in_what_was_typed() {
    let check = |typed: &str, expected: &str| {
        let error = Filter::parse(typed).unwrap_err();
        let shown = error.shown_in(typed);
        assert_eq!(shown.split_once('\n').unwrap().1, expected, "{error}");
    };
    check("status:x", "status:x\n       ^");
    check("  status:x ", "  status:x \n         ^");
    check("ü age:1h", "ü age:1h\n      ^");
    check("a\tage:1h", "a age:1h\n      ^");
    check("status:", "status:\n       ^");
    let long = format!("{} age:1h {}", "a".repeat(99), "b".repeat(99));
    let shown = format!("{} age:1h {}", "a".repeat(35), "b".repeat(37));
    check(&long, &format!("{shown}\n{}^", " ".repeat(40)));
    let error = Filter::parse("  status:x").unwrap_err().to_string();
    assert!(error.contains("at character 10: "), "{error}");
}

#[test]
fn a_filter_that_would_burden_the_store_is_refused() {
    let many = "a ".repeat(41);
    assert_eq!(Filter::parse(&many).unwrap_err().position, 81);
    assert!(Filter::parse(&"a ".repeat(40)).is_ok());
    assert!(Filter::parse(&"a".repeat(2_001)).is_err());
    assert!(Filter::parse(&"ü".repeat(2_000)).is_ok());
}

#[test]
fn a_filter_is_described_in_words() {
    let cases = [
        (
            "status:open -source:orders error:Timeout",
            "status is open and source is not orders and error contains “Timeout”",
        ),
        (
            "age:>90m -age:<26h",
            "age is over 1h30m and age is at least 1d2h",
        ),
        ("age:<0s -age:>1w", "age is under 0s and age is at most 1w"),
        (
            "payload.a.b:4 -header.t:acme* -edited:no id:1,5-9",
            "payload a.b is 4 and header t does not have “acme…” and edited is not no and ID is in \
             1,5-9",
        ),
        (
            "after:2026-11-25 -size:>1k",
            "time of death is from 2026-11-25T00:00:00.000Z and size is at most 1024 bytes",
        ),
        (
            "dlq:*.dlq -type:Order* -x",
            "DLQ is like *.dlq and event type is not like Order* and text does not contain “x”",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(Filter::parse(text).unwrap().describe(), expected, "{text}");
    }
}

#[test]
fn every_qualifier_is_found_by_its_own_word() {
    for field in FilterField::ALL {
        let value = match field {
            FilterField::Status => "open",
            FilterField::System => "kafka",
            FilterField::Reason => "expired",
            FilterField::Age => ">1h",
            FilterField::Size => ">1k",
            FilterField::After | FilterField::Before => "2026-11-25",
            FilterField::Id | FilterField::Repair => "1",
            FilterField::Edited | FilterField::Duplicate => "yes",
            _ => "x",
        };
        let filter = Filter::parse(&field.term(value)).unwrap();
        assert_eq!(filter.terms()[0].field, field);
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        if let Err(error) = Filter::parse(&text) {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.position));
            error.shown_in(&text);
        }
    }

    #[test]
    fn text_made_of_the_languages_own_signs_never_panics(
        text in "(-|\"|\\\\|:|age|status|>|<|[0-9]|[smhdw]|\\*| ){0,40}"
    ) {
        let _ = Filter::parse(&text);
    }

    #[test]
    fn the_term_of_a_link_finds_exactly_its_value(value in "\\PC{1,40}") {
        let filter = Filter::parse(&FilterField::Source.term(&value)).unwrap();
        prop_assert_eq!(&filter.terms()[0].condition, &is(&value));
        prop_assume!(value.contains(char::is_alphanumeric));
        let filter = Filter::parse(&FilterField::Text.term(&value)).unwrap();
        prop_assert_eq!(filter.terms().len(), 1);
        prop_assert!(!filter.terms()[0].negated);
        prop_assert_eq!(&filter.terms()[0].condition, &contains(&value));
    }
}
