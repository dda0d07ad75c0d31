//! What frameworks call the type of an event: headers that they write for their own deserializers.

use crate::domain::Message;

/// Longer names would not be read by anybody.
const LONGEST: usize = 256;

/// A header that holds a type.
struct TypeHeader {
    name: &'static str,
    /// How the name of another header begins without which this one means something else.
    beside: &'static str,
    part: fn(&str) -> &str,
}

const fn header(name: &'static str, beside: &'static str, part: fn(&str) -> &str) -> TypeHeader {
    TypeHeader { name, beside, part }
}

/// The first that is there counts.
const HEADERS: [TypeHeader; 7] = [
    // Spring on both brokers: the Java class.
    header("__TypeId__", "", whole),
    // NServiceBus: types with their assemblies, the most specific first.
    header(
        "NServiceBus.EnclosedMessageTypes",
        "",
        first_without_assembly,
    ),
    // Rebus.
    header("rbs2-msg-type", "", first_without_assembly),
    // MassTransit writes it at a fault: `urn:message:Acme:OrderPlaced`.
    header("MT-Fault-MessageType", "", without_urn),
    // Wolverine.
    header("message-type", "", whole),
    // Celery: the task.
    header("task", "root_id", whole),
    // Symfony Messenger with its JSON serializer: the PHP class.
    header("type", "X-Message-Stamp-", whole),
];

/// The type of the event by the headers of a framework.
pub fn event_type_of_framework(message: &Message) -> Option<&str> {
    HEADERS.iter().find_map(|header| {
        let text = (header.part)(message.header_text(header.name)?).trim();
        let is_name = !text.is_empty() && text.len() <= LONGEST;
        (is_name && is_beside(message, header.beside)).then_some(text)
    })
}

fn is_beside(message: &Message, prefix: &str) -> bool {
    let mut headers = message.headers.iter();
    prefix.is_empty() || headers.any(|header| header.name.starts_with(prefix.as_bytes()))
}

fn whole(text: &str) -> &str {
    text
}

fn first_without_assembly(text: &str) -> &str {
    let end = text.find([',', ';']).unwrap_or(text.len());
    &text[..end]
}

fn without_urn(text: &str) -> &str {
    let first = text.split(';').next().unwrap_or(text);
    first.strip_prefix("urn:message:").unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Header;

    #[test]
    fn each_framework_names_the_type_in_its_own_header() {
        let check = |name, value: &str, expected| {
            let message = Message {
                headers: vec![
                    Header::text(name, value),
                    Header::text("root_id", "1"),
                    Header::text("X-Message-Stamp-Bus", "[]"),
                ],
                ..Message::default()
            };
            assert_eq!(event_type_of_framework(&message), expected, "{name}");
        };
        check("__TypeId__", "com.acme.Order", Some("com.acme.Order"));
        check(
            "NServiceBus.EnclosedMessageTypes",
            "Acme.OrderPlaced, Acme, Version=1.0.0.0;Acme.IEvent, Acme",
            Some("Acme.OrderPlaced"),
        );
        check(
            "rbs2-msg-type",
            "Acme.OrderPlaced, Acme",
            Some("Acme.OrderPlaced"),
        );
        check(
            "MT-Fault-MessageType",
            "urn:message:Acme:OrderPlaced",
            Some("Acme:OrderPlaced"),
        );
        check("message-type", "order-placed", Some("order-placed"));
        check("task", "shop.take", Some("shop.take"));
        check("type", "App\\OrderPlaced", Some("App\\OrderPlaced"));
        check("__TypeId__", " ", None);
        check("__TypeId__", &"x".repeat(257), None);
        check("tenant", "acme", None);
    }

    #[test]
    fn common_words_count_only_beside_what_the_framework_writes_too() {
        let message = Message {
            headers: vec![Header::text("type", "gold"), Header::text("task", "ship")],
            ..Message::default()
        };
        assert_eq!(event_type_of_framework(&message), None);
    }
}
