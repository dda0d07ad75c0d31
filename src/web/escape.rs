//! The escaper of all templates. What a broker says may hold markup, terminal escapes, or characters
//! that reorder the line they stand in; none of it may act, and all of it must be seen.

use std::fmt::{self, Write};

use askama::filters::{Escaper, Safe};

/// Text that is HTML already. Made in [`crate::web::markup`] and by templates only.
pub(crate) type Markup = Safe<String>;

/// HTML with invisible characters spelled out as `\u202e`.
#[derive(Clone, Copy, Debug, Default)]
pub struct VisibleHtml;

impl Escaper for VisibleHtml {
    fn write_escaped_str<W: Write>(&self, mut dest: W, string: &str) -> fmt::Result {
        let mut plain_from = 0;
        for (index, character) in string.char_indices() {
            if !is_special(character) {
                continue;
            }
            dest.write_str(&string[plain_from..index])?;
            write_special(&mut dest, character)?;
            plain_from = index + character.len_utf8();
        }
        dest.write_str(&string[plain_from..])
    }
}

/// Escaped text outside a template.
pub(crate) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    // Writing to a string cannot fail.
    let _ = VisibleHtml.write_escaped_str(&mut html, text);
    html
}

/// Text for a `<textarea>`, where every character must come back as it went. Markup is escaped, the
/// rest stays; the leading line break is the one that HTML drops.
pub(crate) fn textarea(text: &str) -> Markup {
    Safe(format!("\n{}", attribute(text)))
}

/// The same for the value of an attribute.
pub(crate) fn attribute(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' | '>' | '&' | '"' | '\'' => {
                let _ = write_special(&mut html, character);
            }
            plain => html.push(plain),
        }
    }
    html
}

fn write_special<W: Write>(dest: &mut W, character: char) -> fmt::Result {
    match character {
        '<' => dest.write_str("&lt;"),
        '>' => dest.write_str("&gt;"),
        '&' => dest.write_str("&amp;"),
        '"' => dest.write_str("&quot;"),
        '\'' => dest.write_str("&#39;"),
        invisible if u32::from(invisible) <= 0xffff => {
            write!(dest, "\\u{:04x}", u32::from(invisible))
        }
        invisible => write!(dest, "\\u{{{:x}}}", u32::from(invisible)),
    }
}

fn is_special(character: char) -> bool {
    matches!(character, '<' | '>' | '&' | '"' | '\'') || is_invisible(character)
}

/// Control characters except tab and line break, and what reorders or hides text.
pub fn is_invisible(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => true,
        other => other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts_and_everything_is_seen() {
        let check = |text: &str, expected: &str| assert_eq!(escaped(text), expected);
        check("<script>'\"&", "&lt;script&gt;&#39;&quot;&amp;");
        check("a\u{202e}b", "a\\u202eb");
        check("\u{1b}[31mred", "\\u001b[31mred");
        check("tab\tline\nnext", "tab\tline\nnext");
        check("\u{e0041}", "\\u{e0041}");
        check("größer 東京 😀", "größer 東京 😀");
    }

    #[test]
    fn no_template_goes_round_the_escaper() {
        fn check(folder: &std::path::Path) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    check(&path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for way in ["|safe", "| safe", "|escape", "{% autoescape"] {
                    assert!(!text.contains(way), "{} has {way}", path.display());
                }
            }
        }
        check(std::path::Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/templates"
        )));
    }

    #[test]
    fn an_editor_gets_every_character_as_it_is() {
        assert_eq!(textarea("\na\u{202e}<").0, "\n\na\u{202e}&lt;");
    }
}
