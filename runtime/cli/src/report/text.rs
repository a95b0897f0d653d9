//! Text from containers, plugins and files, made safe to show.

/// What a client reads of standard error in one go must hold the whole line.
const LIMIT: usize = 4096;
/// The end of a chain is its cause: it stays when the middle goes.
const TAIL: usize = 1024;

/// Makes any text one line without control characters or bidirectional tricks, and cuts the middle out of a long one.
///
/// Returns at most 4096 bytes and a mark for the cut.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.trim_end_matches(['\n', '\r']).chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push(' '),
            c if c.is_control() || is_invisible(c) => line.extend(c.escape_unicode()),
            c => line.push(c),
        }
    }
    cut(line)
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn cut(line: String) -> String {
    if line.len() <= LIMIT {
        return line;
    }
    let head = line.floor_char_boundary(LIMIT - TAIL);
    let tail = line.ceil_char_boundary(line.len() - TAIL);
    let (start, end) = (
        line.get(..head).unwrap_or_default(),
        line.get(tail..).unwrap_or_default(),
    );
    format!("{start} [{} bytes cut] {end}", tail - head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(one_line(text), expected);
    }

    #[test]
    fn lines_and_controls_are_escaped() {
        check("a\nb\r\n", "a\\nb");
        check("\u{1b}[31mred\0", "\\u{1b}[31mred\\u{0}");
        check("\u{202e}txt", "\\u{202e}txt");
        check("naïve \"ok\" \\", "naïve \"ok\" \\");
    }

    #[test]
    fn long_text_keeps_both_ends() {
        let text = format!("create: {}: Permission denied", "é".repeat(10_000));
        let line = one_line(&text);
        assert!(line.len() < LIMIT + 40, "{}", line.len());
        assert!(line.starts_with("create: é") && line.ends_with(": Permission denied"));
    }
}
