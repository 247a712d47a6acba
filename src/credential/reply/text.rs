//! A vendor's words, made fit for a log line.

use crate::credential::grant::Secrets;

/// How much of a description is kept, in characters.
pub(in crate::credential) const LONGEST: usize = 200;

/// How much of a code is kept; the codes of RFC 6749 have at most 25 characters.
pub(in crate::credential) const LONGEST_CODE: usize = 64;

/// The text in one line without secrets or characters that steer a terminal, in whatever language it is.
pub(in crate::credential) fn printable(text: &str, longest: usize, secrets: &Secrets) -> Option<String> {
    // Before it is cut: what is left of half a secret could not be told any more.
    let text = secrets.scrub(text);
    let mut line = String::new();
    let mut length = 0;
    for word in text
        .split(|c: char| c.is_whitespace() || is_steering(c))
        .filter(|word| !word.is_empty())
    {
        let space = usize::from(!line.is_empty());
        let room = longest.saturating_sub(length + space);
        if room == 0 {
            break;
        }
        if space == 1 {
            line.push(' ');
        }
        line.extend(word.chars().take(room));
        length += space + word.chars().count().min(room);
    }
    (!line.is_empty()).then_some(line)
}

/// Control characters, and those that reverse or hide text around them (Unicode TR 36 §2.1).
fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

/// What to say of a body that is no JSON: its text where it is a plain one, else what it is.
pub(super) fn of_body(body: &[u8], secrets: &Secrets) -> String {
    let Ok(text) = std::str::from_utf8(body) else {
        return format!("{} bytes that are no text", body.len());
    };
    let text = text.trim_start_matches('\u{FEFF}').trim();
    if text.is_empty() {
        "an empty answer".to_owned()
    } else if text.starts_with('<') {
        "an HTML or XML page".to_owned()
    } else if text.starts_with(['{', '[']) {
        "JSON that breaks off or is malformed".to_owned()
    } else if text.contains(|c: char| c.is_control() && !c.is_whitespace()) {
        format!("{} bytes that are no text", body.len())
    } else {
        printable(text, LONGEST, secrets).unwrap_or_else(|| "an empty answer".to_owned())
    }
}
