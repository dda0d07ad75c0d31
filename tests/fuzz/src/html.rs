//! What a page must be, whatever stands in it: tags of our templates only, all of them closed, and every
//! character seen.

use redrive::web::escape::is_invisible;

/// Every element of our pages.
const ELEMENTS: [&str; 57] = [
    "a", "b", "body", "br", "button", "circle", "code", "datalist", "dd", "details", "div", "dl",
    "dt", "form", "h1", "h2", "head", "header", "html", "input", "kbd", "label", "li", "line",
    "link", "main", "mark", "meta", "nav", "ol", "option", "output", "p", "path", "polyline",
    "pre", "rect", "script", "section", "select", "span", "strong", "summary", "svg", "symbol",
    "table", "tbody", "td", "text", "textarea", "th", "thead", "time", "title", "tr", "ul", "use",
];

/// Elements without an end.
const VOID: [&str; 5] = ["br", "hr", "input", "link", "meta"];

/// Asserts that nothing in the page acts that a template did not put there.
pub(crate) fn check(page: &str) {
    assert_eq!(page.chars().find(|character| acts(*character)), None);
    let mut open = Vec::new();
    let mut rest = page;
    while let Some((text, after)) = rest.split_once('<') {
        assert!(!text.contains('>'), "a bare > in {text:?}");
        let (tag, after) = tag_of(after);
        rest = after;
        if tag.starts_with('!') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "a wrong end: {tag:?}");
            continue;
        }
        let (name, attributes) = tag.split_once([' ', '\n']).unwrap_or((tag, ""));
        assert!(
            ELEMENTS.contains(&name),
            "an element of no template: {tag:?}"
        );
        check_attributes(attributes);
        let closes_itself = attributes.ends_with('/') || tag.ends_with('/');
        if !VOID.contains(&name) && !closes_itself {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new(), "not closed");
}

/// What a terminal follows, or what reorders the line in which it stands.
fn acts(character: char) -> bool {
    let reorders = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    reorders || character.is_control() && !matches!(character, '\n' | '\t')
}

/// The tag up to its `>`, which quotes hide, and what follows.
fn tag_of(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let end = text.find(|character| {
        quoted ^= character == '"';
        character == '>' && !quoted
    });
    let end = end.expect("a tag is closed");
    (&text[..end], &text[end + 1..])
}

/// `name="value"` and bare names.
fn check_attributes(mut rest: &str) {
    loop {
        rest = rest.trim_start().trim_start_matches('/');
        if rest.is_empty() {
            return;
        }
        let end = rest.find(['=', ' ', '\n']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':');
        assert!(name.chars().all(is_name), "an attribute {name:?}");
        assert!(!name.starts_with("on"), "a script in {name}");
        rest = after;
        if let Some(after) = after.strip_prefix('=') {
            let quoted = after.strip_prefix('"').expect("values are quoted");
            let (value, after) = quoted.split_once('"').expect("a quote is closed");
            let is_link = matches!(name, "href" | "action" | "src");
            let is_ours = value.starts_with(['/', '#', '?']) && !value.starts_with("//");
            assert!(!is_link || is_ours, "a link to {value:?}");
            rest = after;
        }
    }
}

/// The text of the element with that class, as a browser would show it.
pub(crate) fn text_of<'a>(page: &'a str, opening: &str) -> Option<&'a str> {
    let (_, after) = page.split_once(opening)?;
    let (_, inside) = after.split_once('>')?;
    let (inside, _) = inside.split_once("</pre>")?;
    Some(inside)
}

/// Markup as the text that it shows.
pub(crate) fn shown(markup: &str) -> String {
    let mut text = String::with_capacity(markup.len());
    let mut rest = markup;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        rest = tag_of(after).1;
    }
    text.push_str(rest);
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

/// What a page shows for a text: invisible characters spelled out.
pub(crate) fn visible(text: &str) -> String {
    let spelled = |character: char| match u32::from(character) {
        _ if !is_invisible(character) => character.to_string(),
        number @ ..=0xffff => format!("\\u{number:04x}"),
        number => format!("\\u{{{number:x}}}"),
    };
    text.chars().map(spelled).collect()
}
