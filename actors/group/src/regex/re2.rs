//! Rewrites RE2 syntax where the `regex` crate reads the same characters otherwise: `\Q…\E`, and the set
//! operators and nested sets that RE2's bracket expressions do not have.

/// The expression in the syntax of the `regex` crate. Everything that is not legal either way is left for
/// the compiler to refuse, but an unclosed bracket, which both refuse.
pub(super) fn translate(expression: &str) -> Result<String, String> {
    let mut output = String::with_capacity(expression.len() + 8);
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix(r"\Q") {
            // Without \E the quote goes to the end, as in RE2.
            let (literal, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            output.push_str(&regex::escape(literal));
            rest = after;
        } else if first == '\\' {
            let length = first_escape_bytes(rest);
            output.push_str(&rest[..length]);
            rest = &rest[length..];
        } else if first == '[' {
            rest = translate_bracket(rest, &mut output)?;
        } else {
            output.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(output)
}

/// Bytes of a backslash and the character after it.
fn first_escape_bytes(rest: &str) -> usize {
    1 + rest[1..].chars().next().map_or(0, char::len_utf8)
}

/// Copies one bracket expression, with the characters escaped that only `regex` gives a meaning.
fn translate_bracket<'a>(from: &'a str, output: &mut String) -> Result<&'a str, String> {
    let mut rest = &from[1..];
    output.push('[');
    if let Some(after) = rest.strip_prefix('^') {
        output.push('^');
        rest = after;
    }
    let mut is_first = true;
    while let Some(next) = rest.chars().next() {
        let length = match next {
            // A closing bracket in the first place stands for itself.
            ']' if is_first => {
                output.push_str(r"\]");
                1
            }
            ']' => {
                output.push(']');
                return Ok(&rest[1..]);
            }
            '[' => match rest.strip_prefix("[:").and_then(|class| class.find(":]")) {
                Some(end) => {
                    let length = end + 4;
                    output.push_str(&rest[..length]);
                    length
                }
                None => {
                    output.push_str(r"\[");
                    1
                }
            },
            '\\' => {
                let length = first_escape_bytes(rest);
                output.push_str(&rest[..length]);
                length
            }
            '&' | '~' => {
                output.push('\\');
                output.push(next);
                1
            }
            // Two in a row subtract a set there; the second one escaped is a range to, or from, a dash.
            '-' if rest[1..].starts_with('-') => {
                output.push_str(r"-\-");
                2
            }
            other => {
                output.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[length..];
        is_first = false;
    }
    Err("a bracket is not closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn re2_syntax_becomes_that_of_the_engine() {
        for (from, to) in [
            ("a.b*", "a.b*"),
            (r"\Qa.b\E+", r"a\.b+"),
            (r"\Qa.b", r"a\.b"),
            (r"\\Q", r"\\Q"),
            ("[a-z&&b]", r"[a-z\&\&b]"),
            ("[a[b]", r"[a\[b]"),
            ("[[:alpha:]x]", "[[:alpha:]x]"),
            ("[]a]", r"[\]a]"),
            ("[^]a]", r"[^\]a]"),
            (r"[\]a]", r"[\]a]"),
            ("[a~~b]", r"[a\~\~b]"),
        ] {
            assert_eq!(translate(from).unwrap(), to, "{from}");
        }
        assert!(translate("[a").is_err());
    }

    #[test]
    fn a_backslash_at_the_end_is_left_to_the_compiler() {
        assert_eq!(translate("a\\").unwrap(), "a\\");
        assert_eq!(translate("\\é").unwrap(), "\\é");
    }
}
