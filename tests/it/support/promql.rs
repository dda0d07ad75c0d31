//! As much of `PromQL` as finds the selectors of an expression, and the expressions of a Grafana
//! dashboard.

use serde_json::Value;

/// An expression and where it stands.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) origin: String,
    pub(crate) promql: String,
}

/// The expressions of all panels and variables, with every variable set to "all", and the selectors of
/// its annotations, whose condition is false while nothing happens.
pub(crate) fn expressions_of_dashboard(dashboard: &Value) -> Vec<Expression> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut expressions = Vec::new();
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            expressions.push(Expression {
                origin: format!("panel {:?}", text(&panel["title"])),
                promql: with_variables(&text(&target["expr"])),
            });
        }
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        let expression = with_variables(&text(&annotation["expr"]));
        expressions.extend(selectors(&expression).into_iter().map(|promql| Expression {
            origin: format!("annotation {:?}", text(&annotation["name"])),
            promql,
        }));
    }
    for variable in list(&dashboard["templating"]["list"]) {
        if variable["type"] == "query" {
            let query = with_variables(&text(&variable["query"]["query"]));
            let inner = query.strip_prefix("label_values(");
            let inner = inner.and_then(|inner| inner.rsplit_once(','));
            let (promql, _label) = inner.expect("label_values(selector, label)");
            expressions.push(Expression {
                origin: format!("variable {:?}", text(&variable["name"])),
                promql: promql.to_owned(),
            });
        }
    }
    expressions
}

fn with_variables(expression: &str) -> String {
    let mut text = expression.replace("$__rate_interval", "1m");
    for variable in ["cluster", "group", "topic", "vhost", "queue", "dlq"] {
        text = text.replace(&format!("\"${variable}\""), "\".*\"");
    }
    assert!(!text.contains('$'), "an unknown variable in {text}");
    text
}

/// The instant selectors of an expression: metric names with their matchers, without ranges.
pub(crate) fn selectors(expression: &str) -> Vec<String> {
    let mut selectors = Vec::new();
    let mut rest = expression;
    while let Some(character) = rest.chars().next() {
        if character == '"' {
            rest = after_string(rest);
        } else if character == '[' {
            rest = rest.split_once(']').map_or("", |(_range, rest)| rest);
        } else if character.is_ascii_digit() {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else if is_word(character) {
            let word = word(rest);
            rest = rest[word.len()..].trim_start();
            rest = match word {
                "by" | "without" | "on" | "ignoring" | "group_left" | "group_right" => {
                    rest.split_once(')').map_or("", |(_labels, rest)| rest)
                }
                "and" | "or" | "unless" | "offset" | "bool" => rest,
                _function if rest.starts_with('(') => rest,
                _aggregation if matches!(self::word(rest), "by" | "without") => rest,
                metric => {
                    let matchers = matchers(rest);
                    selectors.push(format!("{metric}{matchers}"));
                    &rest[matchers.len()..]
                }
            };
        } else {
            rest = &rest[character.len_utf8()..];
        }
    }
    selectors
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == ':'
}

fn word(text: &str) -> &str {
    let end = text.find(|character| !is_word(character));
    &text[..end.unwrap_or(text.len())]
}

/// `{…}` at the beginning of the text, or nothing.
fn matchers(text: &str) -> &str {
    if !text.starts_with('{') {
        return "";
    }
    let mut rest = &text[1..];
    while let Some(character) = rest.chars().next() {
        match character {
            '"' => rest = after_string(rest),
            '}' => return &text[..=text.len() - rest.len()],
            other => rest = &rest[other.len_utf8()..],
        }
    }
    text
}

/// The text after a string in double quotes that stands at its beginning.
fn after_string(text: &str) -> &str {
    let mut escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        match character {
            '"' if !escaped => return &text[index + 1..],
            '\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    ""
}

#[test]
fn the_selectors_of_an_expression_are_found() {
    let check = |expression: &str, expected: &[&str]| {
        assert_eq!(selectors(expression), expected, "{expression}");
    };
    check("up", &["up"]);
    check(
        "sum by (le, a) (rate(x_bucket{a!=\"\", b=\"}\\\"\"}[10m])) > 0.1e3",
        &["x_bucket{a!=\"\", b=\"}\\\"\"}"],
    );
    check(
        "min_over_time(a{x=\"y\"}[10m]) > 0 and on (k) b offset 10m >= 0 unless c",
        &["a{x=\"y\"}", "b", "c"],
    );
    check(
        "label_replace(a, \"t\", \"$1\", \"s\", \"(.*)\") < on (c) group_left () 0.5 * b",
        &["a", "b"],
    );
    check("time() - last{c!=\"\"}", &["last{c!=\"\"}"]);
}
