//! Java property files, as Kafka's configuration is written in. Knows the syntax and nothing of the keys.
//! Source: the format of `java.util.Properties`.

use std::collections::BTreeMap;

/// A line that is no property.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PropertiesFault {
    /// `\u` is not followed by four hexadecimal digits.
    #[error("line {line}: \\u wants four hexadecimal digits, got {found:?}")]
    BadEscape {
        /// Number of the line, from 1.
        line: usize,
        /// What stands in their place.
        found: String,
    },
    /// A line starts with its separator.
    #[error("line {line}: no key before the separator")]
    NoKey {
        /// Number of the line, from 1.
        line: usize,
    },
}

/// Parses the text of a property file; of a repeated key the last value counts.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, String>, PropertiesFault> {
    let mut properties = BTreeMap::new();
    for (line, logical) in logical_lines(text) {
        let (key, value) = split(&logical);
        let key = unescape(key, line)?;
        if key.is_empty() {
            return Err(PropertiesFault::NoKey { line });
        }
        properties.insert(key, unescape(value, line)?.trim_end().to_owned());
    }
    Ok(properties)
}

/// Lines with continuations joined, comments and blank lines left out, each with its first number.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start_matches([' ', '\t', '\u{c}']);
        if open.is_none() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let (number, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        let backslash_count = line
            .chars()
            .rev()
            .take_while(|letter| *letter == '\\')
            .count();
        if backslash_count % 2 == 1 {
            joined.push_str(&line[..line.len() - 1]);
            open = Some((number, joined));
        } else {
            joined.push_str(line);
            lines.push((number, joined));
        }
    }
    lines.extend(open);
    lines
}

/// Key and value around the first `=`, `:` or white space that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = line.char_indices().find(|(_, letter)| {
        let ends = !is_escaped && matches!(letter, '=' | ':' | ' ' | '\t');
        is_escaped = *letter == '\\' && !is_escaped;
        ends
    });
    let Some((at, _)) = end else {
        return (line, "");
    };
    let rest = line[at..].trim_start();
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..at], rest.trim_start())
}

fn unescape(text: &str, line: usize) -> Result<String, PropertiesFault> {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits: String = letters.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16)
                    .ok()
                    .filter(|_| digits.len() == 4);
                let decoded = code.and_then(char::from_u32);
                plain.push(decoded.ok_or(PropertiesFault::BadEscape {
                    line,
                    found: digits,
                })?);
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        parse(text).expect("valid properties").into_iter().collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn all_three_separators_divide_key_and_value() {
        let text = "a=1\nb: 2\nc 3\nd =  4\n";
        assert_eq!(
            parsed(text),
            [
                pair("a", "1"),
                pair("b", "2"),
                pair("c", "3"),
                pair("d", "4")
            ]
        );
    }

    #[test]
    fn comments_and_blank_lines_are_left_out() {
        assert_eq!(parsed("# a=1\n\n  ! b=2\n c=3"), [pair("c", "3")]);
    }

    #[test]
    fn a_value_may_hold_separators_and_go_on_over_lines() {
        let text = "listeners=PLAINTEXT://h:9092,\\\n    SSL://h:9093\nempty=\n";
        let expected = [
            pair("empty", ""),
            pair("listeners", "PLAINTEXT://h:9092,SSL://h:9093"),
        ];
        assert_eq!(parsed(text), expected);
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(parsed("a\\=b=x\\ty\\u0041\\\\"), [pair("a=b", "x\tyA\\")]);
    }

    #[test]
    fn the_last_of_a_repeated_key_counts() {
        assert_eq!(parsed("a=1\na=2"), [pair("a", "2")]);
    }

    #[test]
    fn a_broken_escape_names_its_line() {
        let fault = PropertiesFault::BadEscape {
            line: 2,
            found: "00g1".to_owned(),
        };
        assert_eq!(parse("a=1\nb=\\u00g1"), Err(fault));
        assert_eq!(parse("=1"), Err(PropertiesFault::NoKey { line: 1 }));
    }
}
