//! The span of the application that published a message, from W3C Trace Context or B3.

use crate::domain::{ApplicationSpan, Message};

/// What the headers say; W3C first.
pub(super) fn application_span(message: &Message) -> Option<ApplicationSpan> {
    let header = |name: &str| message.header(name).and_then(|value| value.as_text());
    let either = |names: [&str; 2]| names.into_iter().find_map(header);
    let b3_multi = || {
        let trace = either(["X-B3-TraceId", "x-b3-traceid"])?;
        let span = either(["X-B3-SpanId", "x-b3-spanid"]);
        Some(ApplicationSpan {
            trace: b3_trace(trace)?,
            span: span.and_then(hex::<16>),
        })
    };
    header("traceparent")
        .and_then(w3c)
        .or_else(|| header("b3").and_then(b3_single))
        .or_else(b3_multi)
}

/// `traceparent`: version, trace, span, flags.
pub(super) fn w3c(text: &str) -> Option<ApplicationSpan> {
    let mut parts = text.split('-').skip(1);
    Some(ApplicationSpan {
        trace: parts.next().and_then(hex::<32>)?,
        span: parts.next().and_then(hex::<16>),
    })
}

/// `b3`: trace, span, and what is left out here.
fn b3_single(text: &str) -> Option<ApplicationSpan> {
    let mut parts = text.split('-');
    Some(ApplicationSpan {
        trace: parts.next().and_then(b3_trace)?,
        span: parts.next().and_then(hex::<16>),
    })
}

/// B3's shorter trace IDs are filled up with zeros in front, as B3 says.
fn b3_trace(text: &str) -> Option<String> {
    match text.len() {
        16 => hex::<32>(&format!("{text:0>32}")),
        _ => hex::<32>(text),
    }
}

/// So many hex digits that are not all zero, in lower case.
fn hex<const DIGITS: usize>(text: &str) -> Option<String> {
    let is_hex = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_given = text.bytes().any(|byte| byte != b'0');
    (is_hex && is_given).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Header;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn check(headers: &[(&str, &str)], expected: Option<(&str, Option<&str>)>) {
        let header = |(name, value): &(&str, &str)| Header::text(name, *value);
        let message = Message {
            headers: headers.iter().map(header).collect(),
            ..Message::default()
        };
        let expected = expected.map(|(trace, span)| ApplicationSpan {
            trace: trace.to_owned(),
            span: span.map(str::to_owned),
        });
        assert_eq!(application_span(&message), expected, "{headers:?}");
    }

    #[test]
    fn the_span_of_the_application_is_read_from_either_convention() {
        let both = Some((TRACE, Some(SPAN)));
        let traceparent = format!("00-{TRACE}-{SPAN}-01");
        check(&[("traceparent", &traceparent)], both);
        check(&[("traceparent", &traceparent.to_uppercase())], both);
        let alone = Some((TRACE, None));
        check(
            &[("traceparent", &format!("00-{TRACE}-0000000000000000-01"))],
            alone,
        );
        check(&[("traceparent", &format!("00-short-{SPAN}-01"))], None);
        let zero = "0".repeat(32);
        check(&[("traceparent", &format!("00-{zero}-{SPAN}-01"))], None);
        check(&[("traceparent", "")], None);
        check(&[("b3", &format!("{TRACE}-{SPAN}-1"))], both);
        let short = "0000000000000000a3ce929d0e0e4736";
        let given = format!("a3ce929d0e0e4736-{SPAN}");
        check(&[("b3", &given)], Some((short, Some(SPAN))));
        check(&[("b3", "0")], None);
        check(&[("X-B3-TraceId", TRACE)], alone);
        check(&[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)], both);
        check(&[("other", TRACE)], None);
    }
}
