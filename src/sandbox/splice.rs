//! The smallest change of a JSON text that gives it another value. jaq's values do not know how a
//! number, an escape or a repeated name was written, so what a program did not touch is taken from
//! the original text, byte for byte, and only what it changed is written anew.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;

use jaq_json::{Map, Val};

use crate::domain::{JsonKind, JsonMember, JsonNode};

/// How far ahead a shortened array is searched for the element that stayed.
const LOOK_AHEAD: usize = 1_000;

/// `text`, which reads as `root` and whose value is `old`, changed to the value `new`; an error if that
/// is no JSON.
pub(super) fn splice(
    (text, root): (&str, &JsonNode),
    old: &Val,
    new: &Val,
) -> Result<String, String> {
    let mut out = text[..root.span.start].to_owned();
    Splice { text }.value(root, old, new, &mut out);
    out.push_str(&text[root.span.end..]);
    match JsonNode::parse(&out) {
        Ok(_) => Ok(out),
        Err(error) => Err(format!("the result is no JSON: {error}")),
    }
}

struct Splice<'a> {
    text: &'a str,
}

impl Splice<'_> {
    fn value(&self, node: &JsonNode, old: &Val, new: &Val, out: &mut String) {
        match (&node.kind, old, new) {
            _ if is_same(old, new) => out.push_str(&self.text[node.span.clone()]),
            (JsonKind::Object(members), Val::Obj(old), Val::Obj(new)) => {
                self.object(node, members, (old, new), out);
            }
            (JsonKind::Array(items), Val::Arr(old), Val::Arr(new)) => {
                self.array(node, items, (old, new), out);
            }
            _ => out.push_str(&new.to_string()),
        }
    }

    /// Names keep their order, new ones follow. Of a repeated name the last is the one that is changed.
    fn object(
        &self,
        node: &JsonNode,
        members: &[JsonMember],
        (old, new): (&Map, &Map),
        out: &mut String,
    ) {
        let places = members.iter();
        let spans: Vec<_> = places
            .map(|member| member.name_span.start..member.value.span.end)
            .collect();
        let mut parts = Parts::of(self.text, node, &spans, out);
        let last: HashMap<&str, usize> = members
            .iter()
            .enumerate()
            .map(|(index, member)| (member.name.as_str(), index))
            .collect();
        for (index, member) in members.iter().enumerate() {
            let name = Val::utf8_str(member.name.clone());
            let Some(value) = new.get(&name) else {
                continue;
            };
            parts.begin(Some(index));
            let start = member.name_span.start;
            parts
                .out
                .push_str(&self.text[start..member.value.span.start]);
            match old.get(&name) {
                Some(old) if last.get(member.name.as_str()) == Some(&index) => {
                    self.value(&member.value, old, value, parts.out);
                }
                _ => parts.out.push_str(&self.text[member.value.span.clone()]),
            }
        }
        let colon = members.first().map_or(":", |first| {
            &self.text[first.name_span.end..first.value.span.start]
        });
        for (name, value) in new {
            if old.get(name).is_none() {
                parts.begin(None);
                // Writing to a string cannot fail.
                let _ = write!(parts.out, "{name}{colon}{value}");
            }
        }
        parts.end();
    }

    fn array(
        &self,
        node: &JsonNode,
        items: &[JsonNode],
        (old, new): (&[Val], &[Val]),
        out: &mut String,
    ) {
        let spans: Vec<_> = items.iter().map(|item| item.span.clone()).collect();
        let mut parts = Parts::of(self.text, node, &spans, out);
        for (value, origin) in new.iter().zip(origins(old, new)) {
            parts.begin(origin);
            let item = origin.and_then(|index| Some((items.get(index)?, old.get(index)?)));
            match item {
                Some((item, old)) => self.value(item, old, value, parts.out),
                None => parts.out.push_str(&value.to_string()),
            }
        }
        parts.end();
    }
}

/// The punctuation of an array or object: between the parts that stay it is that of the original.
struct Parts<'a, 'o> {
    text: &'a str,
    node: Range<usize>,
    spans: &'o [Range<usize>],
    out: &'o mut String,
    is_empty: bool,
}

impl<'a, 'o> Parts<'a, 'o> {
    fn of(text: &'a str, node: &JsonNode, spans: &'o [Range<usize>], out: &'o mut String) -> Self {
        Self {
            text,
            node: node.span.clone(),
            spans,
            out,
            is_empty: true,
        }
    }

    /// What stands before a part; `index` is its place in the original, if it has one.
    fn begin(&mut self, index: Option<usize>) {
        let text = self.text;
        if std::mem::take(&mut self.is_empty) {
            self.out.push_str(self.opening());
            return;
        }
        let before = |index: usize| &text[self.spans[index - 1].end..self.spans[index].start];
        match (index, self.spans.len()) {
            (Some(index), _) if index > 0 => self.out.push_str(before(index)),
            (_, 0) => self.out.push(','),
            (_, 1) => {
                self.out.push(',');
                self.out.push_str(&self.opening()[1..]);
            }
            _ => self.out.push_str(before(1)),
        }
    }

    /// The bracket and the white space after it.
    fn opening(&self) -> &'a str {
        let first = self.spans.first().map(|first| first.start);
        &self.text[self.node.start..first.unwrap_or(self.node.start + 1)]
    }

    fn end(self) {
        let bracket = self.node.end - 1;
        let last = self.spans.last().map(|last| last.end);
        if self.is_empty {
            self.out
                .push_str(&self.text[self.node.start..=self.node.start]);
            self.out.push_str(&self.text[bracket..self.node.end]);
        } else {
            self.out
                .push_str(&self.text[last.unwrap_or(bracket)..self.node.end]);
        }
    }
}

/// For each new element, which old one it goes on from. Arrays of one length go element by element;
/// else what is equal at both ends and, in order, between them.
fn origins(old: &[Val], new: &[Val]) -> Vec<Option<usize>> {
    if old.len() == new.len() {
        return (0..new.len()).map(Some).collect();
    }
    let shorter = old.len().min(new.len());
    let pairs = old.iter().zip(new);
    let head = pairs.take_while(|(old, new)| is_same(old, new)).count();
    let pairs = old.iter().rev().zip(new.iter().rev());
    let tail = pairs.take_while(|(old, new)| is_same(old, new)).count();
    let tail = tail.min(shorter - head);
    let mut origins: Vec<_> = (0..head).map(Some).collect();
    let mut next = head;
    for value in &new[head..new.len() - tail] {
        let ahead = old[next..old.len() - tail].iter().take(LOOK_AHEAD);
        let found = ahead.into_iter().position(|old| is_same(old, value));
        let origin = found.map(|distance| next + distance);
        next = origin.map_or(next, |origin| origin + 1);
        origins.push(origin);
    }
    origins.extend((old.len() - tail..old.len()).map(Some));
    origins
}

/// Whether a program left a value alone: numbers count as they are written, the order of names does
/// not count.
pub(super) fn is_same(old: &Val, new: &Val) -> bool {
    match (old, new) {
        (Val::Null, Val::Null) => true,
        (Val::Bool(old), Val::Bool(new)) => old == new,
        (Val::Num(old), Val::Num(new)) => old.to_string() == new.to_string(),
        (Val::TStr(old), Val::TStr(new)) => old == new,
        (Val::Arr(old), Val::Arr(new)) => {
            old.len() == new.len() && old.iter().zip(new.iter()).all(|(a, b)| is_same(a, b))
        }
        (Val::Obj(old), Val::Obj(new)) => {
            let is_kept =
                |(name, old): (&Val, &Val)| new.get(name).is_some_and(|new| is_same(old, new));
            old.len() == new.len() && old.iter().all(is_kept)
        }
        _ => false,
    }
}
