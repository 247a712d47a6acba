//! JSON that is almost JSON.
//!
//! Servers write `NaN` for a lifetime, cut a name in the middle of an emoji, or leave a line's end in a text. A
//! strict reader refuses the whole answer for it, and the refresh token in it would be lost.

/// The same text with what strict JSON (RFC 8259) refuses made harmless. What is whole stays as it is, and what
/// breaks off still does.
pub(super) fn mend(text: &str) -> String {
    let mut mended = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        rest = match next {
            '"' => {
                mended.push('"');
                mend_string(&rest[1..], &mut mended)
            }
            ',' if rest[1..].trim_start().starts_with(['}', ']']) => &rest[1..],
            next if is_bare(next) => {
                let (bare, after) = rest.split_at(rest.find(|c| !is_bare(c)).unwrap_or(rest.len()));
                if serde_json::from_str::<serde_json::Value>(bare).is_ok() {
                    mended.push_str(bare);
                } else {
                    // As text it keeps every digit, and whoever wants a number of it can still read one.
                    mended.push('"');
                    mended.push_str(bare);
                    mended.push('"');
                }
                after
            }
            next => {
                mended.push(next);
                &rest[next.len_utf8()..]
            }
        };
    }
    mended
}

/// What numbers and literals are made of.
fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_')
}

/// Mends a string after its opening quote, and returns what follows its closing one.
fn mend_string<'a>(text: &'a str, mended: &mut String) -> &'a str {
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let (head, after) = rest.split_at(next.len_utf8());
        rest = after;
        match next {
            '"' => {
                mended.push('"');
                return rest;
            }
            '\\' => rest = mend_escape(rest, mended),
            control if control < ' ' => mended.push_str(&format!("\\u{:04x}", u32::from(control))),
            _ => mended.push_str(head),
        }
    }
    rest
}

/// Mends an escape after its backslash, and returns what follows it.
fn mend_escape<'a>(text: &'a str, mended: &mut String) -> &'a str {
    if text.starts_with(['"', '\\', '/', 'b', 'f', 'n', 'r', 't']) {
        mended.push('\\');
        mended.push_str(&text[..1]);
        return &text[1..];
    }
    match unit(text) {
        None => {
            // No escape: a backslash that somebody forgot to double.
            mended.push_str("\\\\");
            text
        }
        Some(0xD800..=0xDBFF) => {
            let low = text[5..].strip_prefix('\\').and_then(unit);
            if matches!(low, Some(0xDC00..=0xDFFF)) {
                mended.push('\\');
                mended.push_str(&text[..11]);
                &text[11..]
            } else {
                mended.push('\u{FFFD}');
                &text[5..]
            }
        }
        Some(0xDC00..=0xDFFF) => {
            mended.push('\u{FFFD}');
            &text[5..]
        }
        Some(_) => {
            mended.push('\\');
            mended.push_str(&text[..5]);
            &text[5..]
        }
    }
}

/// The UTF-16 unit of `uXXXX`.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix('u')?.get(..4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u16::from_str_radix(digits, 16).ok())?
}
