//! What the names of `[event_names]` give: headers first, then fields of a JSON body by their paths.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::body::{FieldName, json_body};
use super::{id, named_header};
use crate::config::EventNamesConfig;
use crate::domain::{EventIdentity, Message};

/// What may be named, in the order of [`Configured::of`].
const FACTS: usize = 7;

#[derive(Default)]
pub(super) struct Configured {
    pub(super) event: EventIdentity,
    pub(super) source: Option<String>,
    pub(super) traceparent: Option<String>,
}

impl Configured {
    pub(super) fn of(message: &Message, names: &EventNamesConfig) -> Self {
        if names.is_empty() {
            return Self::default();
        }
        let lists: [&[String]; FACTS] = [
            &names.event_id,
            &names.event_type,
            &names.correlation_id,
            &names.causation_id,
            &names.aggregate_id,
            &names.source,
            &names.traceparent,
        ];
        let mut facts =
            lists.map(|names| names.iter().find_map(|name| named_header(message, name)));
        let mut wanted = Vec::new();
        for (fact, names) in lists.into_iter().enumerate() {
            if facts[fact].is_none() {
                let paths = names.iter().enumerate();
                wanted.extend(paths.map(|(rank, path)| Wanted { fact, rank, path }));
            }
        }
        if let Some(body) = json_body(message).filter(|_| !wanted.is_empty()) {
            let mut found = [const { None }; FACTS];
            let fields = Fields {
                wanted,
                found: &mut found,
            };
            // What came before the place where a body breaks off is known.
            let _ = fields.deserialize(&mut serde_json::Deserializer::from_slice(body));
            for (fact, found) in facts.iter_mut().zip(found) {
                *fact = fact.take().or(found.map(|(_, value)| value));
            }
        }
        let [
            event_id,
            event_type,
            correlation_id,
            causation_id,
            aggregate_id,
            source,
            traceparent,
        ] = facts;
        Self {
            event: EventIdentity {
                event_id,
                event_type,
                correlation_id,
                causation_id,
                aggregate_id,
            },
            source,
            traceparent,
        }
    }
}

/// A field that is looked for.
#[derive(Clone, Copy)]
struct Wanted<'p> {
    fact: usize,
    /// Its place in the list of names; the first name that gives a value counts.
    rank: usize,
    /// From the value at hand on; empty if it is that value.
    path: &'p str,
}

/// A value, and what is looked for in it.
struct Fields<'p, 'f> {
    wanted: Vec<Wanted<'p>>,
    found: &'f mut [Option<(usize, String)>; FACTS],
}

impl Fields<'_, '_> {
    fn take(self, value: &str) {
        let Some(value) = id(value) else {
            return;
        };
        for wanted in self.wanted.iter().filter(|wanted| wanted.path.is_empty()) {
            let found = &mut self.found[wanted.fact];
            if found.as_ref().is_none_or(|(rank, _)| wanted.rank <= *rank) {
                *found = Some((wanted.rank, value.clone()));
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Fields<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.wanted.is_empty() {
            return deserializer.deserialize_any(IgnoredAny).map(drop);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(FieldName)? {
            let below = self.wanted.iter().filter(|wanted| !wanted.path.is_empty());
            let below = below.filter_map(|wanted| {
                let path = match wanted.path.strip_prefix(name.as_ref())? {
                    "" => "",
                    rest => rest.strip_prefix('.')?,
                };
                Some(Wanted { path, ..*wanted })
            });
            map.next_value_seed(Fields {
                wanted: below.collect(),
                found: self.found,
            })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.take(text);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.take(&number.to_string());
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.take(&number.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
