//! Headers as options: each keeps the type that it has, unless another one is named.

use anyhow::{anyhow, bail};
use bytes::Bytes;

use crate::domain::{AmqpValue, Header, HeaderValue, Message, System};
use crate::web::views::typed;

#[derive(Debug, Default, clap::Args)]
pub(super) struct HeaderArgs {
    /// Set a header, as NAME=VALUE; it keeps its type, and a new one is text. May be repeated.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = name_and_value)]
    headers: Vec<(String, String)>,
    /// The type of a --header, as NAME=TYPE: int32, boolean, "long string", null, …
    #[arg(long = "header-type", value_name = "NAME=TYPE", value_parser = name_and_value)]
    types: Vec<(String, String)>,
    /// Remove every header of that name; may be repeated.
    #[arg(long = "remove-header", value_name = "NAME")]
    removed: Vec<String>,
}

pub(super) fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("it needs a `=` between name and value")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl HeaderArgs {
    pub(super) fn is_given(&self) -> bool {
        !(self.headers.is_empty() && self.types.is_empty() && self.removed.is_empty())
    }

    /// The headers stay in their order, the last of a name with its new value; a header that was not there comes
    /// last.
    pub(super) fn apply(&self, message: &mut Message) -> anyhow::Result<()> {
        let system = if message.properties.is_some() {
            System::RabbitMq
        } else {
            System::Kafka
        };
        if let Some((name, _)) = self.types.iter().find(|(name, _)| !self.sets(name)) {
            bail!("--header-type {name} needs --header {name}=VALUE");
        }
        let headers = &mut message.headers;
        headers.retain(|header| {
            !self
                .removed
                .iter()
                .any(|name| header.name == name.as_bytes())
        });
        for (name, text) in &self.headers {
            let mut present = headers.iter_mut().rev();
            let present = present.find(|header| header.name == name.as_bytes());
            let value = match (self.type_of(name), &present) {
                (Some(kind), _) => chosen(kind, text, system),
                (None, Some(header)) => kept(&header.value, text),
                (None, None) => Ok(new_text(text, system)),
            };
            let value = value.map_err(|wrong| anyhow!("header {name}: {wrong}"))?;
            match present {
                Some(header) => header.value = value,
                None => headers.push(Header {
                    name: Bytes::from(name.clone()),
                    value,
                }),
            }
        }
        Ok(())
    }

    fn sets(&self, name: &str) -> bool {
        self.headers.iter().any(|(set, _)| set == name)
    }

    fn type_of(&self, name: &str) -> Option<&str> {
        let named = self.types.iter().find(|(typed, _)| typed == name);
        named.map(|(_, kind)| kind.as_str())
    }
}

fn chosen(kind: &str, text: &str, system: System) -> Result<HeaderValue, String> {
    let kinds = typed::kinds(system);
    if !kinds.contains(&kind) {
        let kinds = kinds.join("; ");
        return Err(format!(
            "there is no type {kind:?}; these are known: {kinds}"
        ));
    }
    typed::value_of(kind, text)
}

/// The text in the type of the value that it replaces. Kafka's values are bytes, whatever was there.
fn kept(value: &HeaderValue, text: &str) -> Result<HeaderValue, String> {
    let bytes = Bytes::from(text.to_owned());
    let (kind, _) = typed::text_of(value);
    match value {
        HeaderValue::Null | HeaderValue::Bytes(_) => Ok(HeaderValue::Bytes(bytes)),
        HeaderValue::Amqp(AmqpValue::LongString(_)) => {
            Ok(HeaderValue::Amqp(AmqpValue::LongString(bytes)))
        }
        HeaderValue::Amqp(AmqpValue::ByteArray(_)) => {
            Ok(HeaderValue::Amqp(AmqpValue::ByteArray(bytes)))
        }
        HeaderValue::Amqp(AmqpValue::Void) if !text.is_empty() => {
            Err(format!("it is of type void, which has no value; {REMEDY}"))
        }
        HeaderValue::Amqp(_) => typed::value_of(kind, text)
            .map_err(|wrong| format!("it is of type {kind}, and {wrong}; {REMEDY}")),
    }
}

const REMEDY: &str = "name another type by --header-type NAME=\"long string\"";

fn new_text(text: &str, system: System) -> HeaderValue {
    match system {
        System::Kafka => HeaderValue::Bytes(Bytes::from(text.to_owned())),
        System::RabbitMq => HeaderValue::Amqp(AmqpValue::long_string(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AmqpProperties;

    fn args(set: &[&str], types: &[&str], removed: &[&str]) -> HeaderArgs {
        let pairs = |texts: &[&str]| texts.iter().map(|t| name_and_value(t).unwrap()).collect();
        HeaderArgs {
            headers: pairs(set),
            types: pairs(types),
            removed: removed.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    fn amqp(value: AmqpValue) -> Message {
        Message {
            headers: vec![Header::amqp("n", value)],
            properties: Some(Box::<AmqpProperties>::default()),
            ..Message::default()
        }
    }

    #[test]
    fn headers_keep_their_order_and_the_last_of_a_name_is_set() {
        let headers = ["a", "b", "a"].map(|name| Header::text(name, "old"));
        let mut message = Message {
            headers: headers.into(),
            ..Message::default()
        };
        args(&["a=x=y", "c=new"], &["c=null"], &["b"])
            .apply(&mut message)
            .unwrap();
        let null = Header {
            name: Bytes::from_static(b"c"),
            value: HeaderValue::Null,
        };
        let expected = [Header::text("a", "old"), Header::text("a", "x=y"), null];
        assert_eq!(message.headers, expected);
        assert!(name_and_value("no value").is_err());
    }

    #[test]
    fn a_header_keeps_its_type() {
        let check = |before: AmqpValue, text: &str, after: AmqpValue| {
            let mut message = amqp(before);
            let set = format!("n={text}");
            args(&[&set], &[], &[]).apply(&mut message).unwrap();
            assert_eq!(message.headers, [Header::amqp("n", after)]);
        };
        check(AmqpValue::I32(3), "4", AmqpValue::I32(4));
        check(AmqpValue::U8(3), "255", AmqpValue::U8(255));
        check(AmqpValue::Boolean(true), "false", AmqpValue::Boolean(false));
        let (half, two) = (
            AmqpValue::F64(0.5_f64.to_bits()),
            AmqpValue::F64(2.0_f64.to_bits()),
        );
        check(half, "2", two);
        check(
            AmqpValue::Timestamp(1),
            "1970-01-01T00:01:00Z",
            AmqpValue::Timestamp(60),
        );
        check(
            AmqpValue::long_string("1"),
            "2",
            AmqpValue::long_string("2"),
        );
        let bytes = |bytes: &'static [u8]| AmqpValue::ByteArray(Bytes::from_static(bytes));
        check(bytes(b"\xff"), "ab", bytes(b"ab"));
        let array = AmqpValue::Array(vec![AmqpValue::I32(1)]);
        let json = r#"{"type":"array","value":[{"type":"i32","value":2}]}"#;
        check(array, json, AmqpValue::Array(vec![AmqpValue::I32(2)]));
    }

    #[test]
    fn what_does_not_fit_its_type_is_refused_with_the_remedy() {
        let check = |before: AmqpValue, text: &str, expected: &str| {
            let mut message = amqp(before);
            let set = format!("n={text}");
            let wrong = args(&[&set], &[], &[]).apply(&mut message).unwrap_err();
            let wrong = wrong.to_string();
            assert!(
                wrong.contains(expected) && wrong.contains("--header-type"),
                "{wrong}"
            );
        };
        check(
            AmqpValue::I32(3),
            "many",
            "header n: it is of type int32, and \"many\" is not a whole number of 32 bits",
        );
        check(AmqpValue::Boolean(true), "yes", "true or false");
        check(AmqpValue::Void, "x", "type void");
        check(AmqpValue::Array(Vec::new()), "x", "it is of type array");
    }

    #[test]
    fn another_type_is_named() {
        let mut message = amqp(AmqpValue::I32(3));
        let retyped = args(&["n=many", "m=7"], &["n=long string", "m=int64"], &[]);
        retyped.apply(&mut message).unwrap();
        let expected = [
            Header::amqp("n", AmqpValue::long_string("many")),
            Header::amqp("m", AmqpValue::I64(7)),
        ];
        assert_eq!(message.headers, expected);
        let check = |set: &[&str], types: &[&str], expected: &str| {
            let wrong = args(set, types, &[]).apply(&mut amqp(AmqpValue::Void));
            let wrong = wrong.unwrap_err().to_string();
            assert!(wrong.contains(expected), "{wrong}");
        };
        check(
            &["n=1"],
            &["n=text"],
            "no type \"text\"; these are known: long string; ",
        );
        check(&["n=x"], &["n=int8"], "from -128 to 127");
        check(&[], &["n=int8"], "needs --header n=VALUE");
    }
}
