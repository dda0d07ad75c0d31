//! A jq program and what it makes of one payload. Runs in the child process only.

use jaq_core::data::JustLut;
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, compile, unwrap_valr};
use jaq_json::{Val, read};

use super::splice::{is_same, splice};
use crate::domain::JsonNode;

/// What jq has and a repair has not: the outside world, the clock, other inputs, and ways to end the
/// process.
const FORBIDDEN: [&str; 14] = [
    "debug",
    "debug_empty",
    "env",
    "halt",
    "halt_error",
    "input",
    "input_filename",
    "inputs",
    "localtime",
    "now",
    "stderr",
    "stderr_empty",
    "strflocaltime",
    "$ENV",
];

/// A message of jq may quote a whole payload.
const LONGEST_MESSAGE: usize = 300;

/// A program, ready to run.
pub(super) struct Program {
    filter: jaq_core::Filter<JustLut<Val>>,
}

/// What a program makes of a payload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// The same value, or none at all.
    Same,
    Changed(String),
    Failed(String),
}

impl Program {
    /// Compiles a program, or says what is wrong with it and where.
    pub(super) fn compile(code: &str) -> Result<Self, String> {
        let is_allowed = |name: &str| !FORBIDDEN.contains(&name);
        let definitions = jaq_core::defs()
            .chain(jaq_std::defs())
            .chain(jaq_json::defs())
            .filter(|definition| is_allowed(definition.name));
        let functions = jaq_core::funs()
            .chain(jaq_std::funs())
            .chain(jaq_json::funs())
            .filter(|(name, ..)| is_allowed(name));
        let arena = Arena::default();
        let file = File { code, path: () };
        let modules = Loader::new(definitions)
            .load(&arena, file)
            .map_err(|errors| syntax_error(code, errors))?;
        let filter = Compiler::default()
            .with_funs(functions)
            .compile(modules)
            .map_err(|errors| undefined(code, errors))?;
        Ok(Self { filter })
    }

    /// Runs it on one payload.
    pub(super) fn run(&self, payload: &[u8]) -> Made {
        self.try_run(payload).unwrap_or_else(|problem| {
            let short = problem.char_indices().nth(LONGEST_MESSAGE);
            Made::Failed(match short {
                Some((end, _)) => format!("{}…", &problem[..end]),
                None => problem,
            })
        })
    }

    fn try_run(&self, payload: &[u8]) -> Result<Made, String> {
        let no_json = |why: String| format!("the payload is no JSON: {why}");
        let text = std::str::from_utf8(payload).map_err(|error| no_json(error.to_string()))?;
        // Stricter than jq's own reader, which takes more than JSON and any depth.
        let root = JsonNode::parse(text).map_err(no_json)?;
        let old = read::parse_single(payload).map_err(|error| no_json(error.to_string()))?;
        let context = Ctx::<JustLut<Val>>::new(&self.filter.lut, Vars::new([]));
        let mut values = self.filter.id.run((context, old.clone())).map(unwrap_valr);
        let Some(new) = values.next() else {
            return Ok(Made::Same);
        };
        let new = new.map_err(|error| error.to_string())?;
        if values.next().is_some() {
            return Err("the program gives more than one value; a payload is one".to_owned());
        }
        if is_same(&old, &new) {
            return Ok(Made::Same);
        }
        splice((text, &root), &old, &new).map(Made::Changed)
    }
}

fn syntax_error(code: &str, errors: load::Errors<&str, ()>) -> String {
    let first = errors.into_iter().map(|(_, error)| error).next();
    match first {
        Some(load::Error::Lex(errors)) => match errors.first() {
            Some((expected, found)) => expected_but_found(code, expected.as_str(), found),
            None => "the program cannot be read".to_owned(),
        },
        Some(load::Error::Parse(errors)) => match errors.first() {
            Some((expected, found)) => expected_but_found(code, expected.as_str(), found),
            None => "the program cannot be read".to_owned(),
        },
        _ => "modules cannot be imported; write what they define into the program".to_owned(),
    }
}

fn expected_but_found(code: &str, expected: &str, found: &str) -> String {
    let found_word: String = found.chars().take(20).collect();
    let found_word = match found_word.as_str() {
        "" => "the program ends".to_owned(),
        word => format!("{word:?} stands"),
    };
    format!(
        "{}: {expected} is expected where {found_word}",
        place(code, found)
    )
}

fn undefined(code: &str, errors: compile::Errors<&str, ()>) -> String {
    let mut all = errors.into_iter().flat_map(|(_, errors)| errors);
    let Some((name, kind)) = all.next() else {
        return "the program cannot be compiled".to_owned();
    };
    let place = place(code, name);
    if FORBIDDEN.contains(&name) {
        return format!("{place}: {name} is not available: a repair sees its payload only");
    }
    format!("{place}: there is no {} {name}", kind.as_str())
}

/// Where a part of the program stands.
fn place(code: &str, part: &str) -> String {
    let start = load::span(code, part).start;
    let before = code.get(..start).unwrap_or(code);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!("line {line}, column {column}")
}

#[cfg(test)]
mod tests;
