//! The trace of the application that an event belongs to, from W3C Trace Context or B3.

use crate::domain::Message;

/// The trace ID in lower-case hex, 32 digits; B3's shorter ones are filled up with zeros in front, as B3 says.
pub(super) fn application_trace(message: &Message) -> Option<String> {
    let header = |name: &str| message.header(name).and_then(|value| value.as_text());
    let w3c = header("traceparent").and_then(|text| text.split('-').nth(1).and_then(trace_id));
    let b3 = || header("b3").and_then(|text| text.split('-').next().and_then(b3_id));
    let b3_multi = || {
        let names = ["X-B3-TraceId", "x-b3-traceid"];
        names
            .into_iter()
            .find_map(|name| header(name).and_then(b3_id))
    };
    w3c.or_else(b3).or_else(b3_multi)
}

fn b3_id(text: &str) -> Option<String> {
    match text.len() {
        16 => trace_id(&format!("{text:0>32}")),
        _ => trace_id(text),
    }
}

/// 32 hex digits that are not all zero.
fn trace_id(text: &str) -> Option<String> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_given = text.bytes().any(|byte| byte != b'0');
    (is_hex && is_given).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Header;

    #[test]
    fn the_trace_of_the_application_is_read_from_either_convention() {
        let check = |name: &str, value: &str, expected: Option<&str>| {
            let message = Message {
                headers: vec![Header::text(name, value)],
                ..Message::default()
            };
            assert_eq!(
                application_trace(&message).as_deref(),
                expected,
                "{name}: {value}"
            );
        };
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        check(
            "traceparent",
            &format!("00-{id}-00f067aa0ba902b7-01"),
            Some(id),
        );
        check(
            "traceparent",
            &format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()),
            Some(id),
        );
        check("traceparent", "00-short-00f067aa0ba902b7-01", None);
        check(
            "traceparent",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            None,
        );
        check("traceparent", "", None);
        check("b3", &format!("{id}-e457b5a2e4d86bd1-1"), Some(id));
        check(
            "b3",
            "a3ce929d0e0e4736-e457b5a2e4d86bd1",
            Some("0000000000000000a3ce929d0e0e4736"),
        );
        check("b3", "0", None);
        check("X-B3-TraceId", id, Some(id));
        check("other", id, None);
    }
}
