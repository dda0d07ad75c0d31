//! What goes to a terminal: nothing that a broker says may act there, and tables fit the line.

use std::fmt::Write as _;
use std::io::Write as _;

use crate::web::escape::is_invisible;

/// From here on the number must be typed.
const TYPED_FROM: u64 = 100;

/// What a shell makes of an end by SIGPIPE.
const BROKEN_PIPE: i32 = 141;

/// Ends the process quietly when whoever reads its output has gone, as in `redrive dead-letters list | head`: printing
/// panics then, since Rust ignores the signal, and so must sockets.
pub fn end_without_a_reader() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(BROKEN_PIPE);
        }
        told(panic);
    }));
}

/// The text with control characters, line breaks and characters that reorder a line spelled out.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_invisible(character) || matches!(character, '\n' | '\t') {
            // Writing to a string cannot fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Rows as aligned columns; the last column is cut so that a line fits `width`.
pub(super) fn table(header: &[&str], rows: &[Vec<String>], width: usize) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.len()).collect();
    for row in rows {
        for (known, cell) in widths.iter_mut().zip(row) {
            *known = (*known).max(cell.chars().count());
        }
    }
    let header = header.iter().map(|cell| (*cell).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let cut: String = line.trim_end().chars().take(width).collect();
        text.push_str(&cut);
        text.push('\n');
    }
    text
}

/// The width of a line: `COLUMNS`, which shells know, or 120.
pub(super) fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok();
    columns
        .and_then(|columns| columns.parse().ok())
        .filter(|columns| *columns >= 40)
        .unwrap_or(120)
}

/// Asks at the terminal; anything but `y` or `yes` is a no. The question is no part of the result.
#[expect(clippy::print_stderr, reason = "it asks at the terminal")]
pub(super) fn confirmed(question: &str) -> anyhow::Result<bool> {
    eprint!("{question} [y/N] ");
    Ok(matches!(answer()?.as_str(), "y" | "Y" | "yes"))
}

/// The same about so many events; a large number must be typed, as on the pages.
#[expect(clippy::print_stderr, reason = "it asks at the terminal")]
pub(super) fn confirmed_count(question: &str, count: u64) -> anyhow::Result<bool> {
    if count <= TYPED_FROM {
        return confirmed(question);
    }
    eprint!("{question} Type {count} to confirm: ");
    Ok(answer()?.replace([',', ' '], "") == count.to_string())
}

fn answer() -> anyhow::Result<String> {
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts_in_a_terminal() {
        let check = |text: &str, expected: &str| assert_eq!(visible(text), expected);
        check("\u{1b}[31mred", "\\u{1b}[31mred");
        check("a\u{202e}b\nc", "a\\u{202e}b\\u{a}c");
        check("größer 東京", "größer 東京");
    }

    #[test]
    fn columns_are_aligned_and_lines_fit() {
        let rows = vec![
            vec![
                "1".to_owned(),
                "open".to_owned(),
                "a long message".to_owned(),
            ],
            vec!["1042".to_owned(), "gone".to_owned(), "b".to_owned()],
        ];
        let text = table(&["ID", "STATUS", "ERROR"], &rows, 20);
        assert_eq!(
            text,
            "ID    STATUS  ERROR\n1     open    a long\n1042  gone    b\n"
        );
    }
}
