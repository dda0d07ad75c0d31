//! What the debug exporter of the Collector prints.

use std::collections::HashMap;

#[derive(Clone, Debug, Default)]
struct Printed {
    fields: HashMap<String, String>,
    links: usize,
}

impl Printed {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// A line for each span of a trace: kind, name, the name of the one above or its ID where that was not printed, links,
/// and status if it is an error.
pub(crate) fn spans(log: &str, trace: &str) -> Vec<String> {
    let blocks = log.split("Span #").skip(1).map(read);
    let spans: Vec<Printed> = blocks
        .filter(|span| span.field("Trace ID") == trace)
        .collect();
    let name_of = |id: &str| {
        let found = spans.iter().find(|span| span.field("ID") == id);
        let name = found.map_or(id, |span| span.field("Name"));
        if name.is_empty() {
            return String::new();
        }
        format!(" < {name}")
    };
    let line = |span: &Printed| {
        let (kind, name) = (span.field("Kind"), span.field("Name"));
        let above = name_of(span.field("Parent ID"));
        let links = match span.links {
            0 => String::new(),
            1 => ", 1 link".to_owned(),
            links => format!(", {links} links"),
        };
        let status = match span.field("Status code") {
            "Error" => ", Error",
            _ => "",
        };
        format!("{kind} {name}{above}{links}{status}")
    };
    spans.iter().map(line).collect()
}

/// `    Name           : send orders`, and what else comes before the attributes.
fn read(block: &str) -> Printed {
    let mut printed = Printed::default();
    for line in block.lines() {
        printed.links += usize::from(line.trim().starts_with("SpanLink #"));
        if let Some((name, value)) = line.split_once(" : ") {
            let known = printed.fields.entry(name.trim().to_owned());
            known.or_insert_with(|| value.trim().to_owned());
        }
    }
    printed
}
