//! One reading of a path: what is matched is what is forwarded, and an upstream that reads it otherwise is not met.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Why a path has no single reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Such as `*`.
    #[error("the request's target is not a path; send an origin-form or absolute-form target")]
    NotAPath,
    /// A `%` without two hexadecimal digits.
    #[error("the path has a '%' that two hexadecimal digits don't follow; write '%25' for a percent sign")]
    Percent,
    /// A backslash: some servers read a slash.
    #[error("the path has a backslash, which servers read in different ways; use '/'")]
    Backslash,
    /// A control character.
    #[error("the path has a control character; remove it")]
    Control,
    /// Decoded, it isn't UTF-8.
    #[error("the path is not UTF-8 once it is decoded; encode its text as UTF-8")]
    NotUtf8,
    /// It climbs above the root.
    #[error("the path climbs above its root with '..'; send the path that is meant")]
    AboveRoot,
    /// A `.` or `..` beside an encoded slash, a space or a parameter, or encoded twice.
    #[error(
        "the path hides '.' or '..' beside an encoded slash, a space or a ';', or encoded twice; send the path that is \
         meant"
    )]
    HiddenDots,
}

/// Whether a path is in its one form on sight, as nearly all are: letters, digits and the like between single slashes,
/// and no segment that begins with a dot.
pub fn is_plain(path: &str) -> bool {
    let mut after_slash = false;
    for (at, &byte) in path.as_bytes().iter().enumerate() {
        let is_slash = byte == b'/';
        let fits = match byte {
            b'/' => !after_slash,
            b'.' => !after_slash,
            b'-' | b'_' | b'~' => true,
            _ => byte.is_ascii_alphanumeric(),
        };
        if !fits || (at == 0 && !is_slash) {
            return false;
        }
        after_slash = is_slash;
    }
    !path.is_empty()
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// The path in its one form (RFC 3986 §6.2.2): unreserved characters decoded, other escapes in upper case,
/// `.` and `..` resolved, repeated slashes made one. `%2F` stays part of its segment.
pub fn normalise(path: &str) -> Result<String, PathError> {
    let Some(below) = path.strip_prefix('/') else {
        return Err(PathError::NotAPath);
    };
    let mut normal = String::with_capacity(path.len() + 1);
    let mut segments = below.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let start = normal.len();
        normal.push('/');
        push_segment(segment, &mut normal)?;
        match &normal[start + 1..] {
            // An empty segment stands for a final slash only.
            "" | "." if !is_last => normal.truncate(start),
            "." => normal.truncate(start + 1),
            ".." => {
                normal.truncate(start);
                let parent = normal.rfind('/').ok_or(PathError::AboveRoot)?;
                normal.truncate(if is_last { parent + 1 } else { parent });
            }
            _ => {}
        }
    }
    if normal.is_empty() {
        normal.push('/');
    }
    Ok(normal)
}

fn push_segment(segment: &str, normal: &mut String) -> Result<(), PathError> {
    let bytes = segment.as_bytes();
    let mut at = 0;
    let mut has_escapes = false;
    while at < bytes.len() {
        let (byte, was_escaped) = match bytes[at] {
            b'%' => {
                let digits = bytes.get(at + 1..at + 3).ok_or(PathError::Percent)?;
                let (high, low) = (hex(digits[0])?, hex(digits[1])?);
                at += 3;
                has_escapes = true;
                (high << 4 | low, true)
            }
            byte => {
                at += 1;
                (byte, false)
            }
        };
        match byte {
            b'\\' => return Err(PathError::Backslash),
            0..=0x1F | 0x7F => return Err(PathError::Control),
            _ if is_unreserved(byte) || (!was_escaped && is_reserved_in_segment(byte)) => normal.push(byte as char),
            _ => {
                has_escapes = true;
                normal.push('%');
                normal.push(HEX[usize::from(byte >> 4)] as char);
                normal.push(HEX[usize::from(byte & 0xF)] as char);
            }
        }
    }
    if has_escapes || segment.contains(';') {
        let decoded = decode(segment).ok_or(PathError::NotUtf8)?;
        if hides_dots(&decoded) {
            return Err(PathError::HiddenDots);
        }
    }
    Ok(())
}

/// Whether some server would read a `.` or `..` here that isn't the whole segment: behind an encoded slash, before a
/// parameter (RFC 3986 §3.3), beside a space, or once what is encoded twice is decoded twice.
fn hides_dots(decoded: &str) -> bool {
    let is_dots = |piece: &str| matches!(piece.split(';').next().map(str::trim), Some("." | ".."));
    if !matches!(decoded, "." | "..") && decoded.split('/').any(is_dots) {
        return true;
    }
    let mut text = Cow::Borrowed(decoded);
    while let Some(more) = decode(&text).filter(|more| *more != text) {
        if more.split(['/', '\\']).any(is_dots) {
            return true;
        }
        text = Cow::Owned(more.into_owned());
    }
    false
}

/// A segment's text; `None` where it isn't UTF-8.
pub fn decode(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok()
}

fn hex(digit: u8) -> Result<u8, PathError> {
    (digit as char)
        .to_digit(16)
        .map(|value| value as u8)
        .ok_or(PathError::Percent)
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The rest of `pchar` (RFC 3986 §3.3): these mean the same only as they were written.
fn is_reserved_in_segment(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_path_become_one() {
        for (written, normal) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("//a///b//", "/a/b/"),
            ("/a/./b", "/a/b"),
            ("/a/.", "/a/"),
            ("/a/x/../b", "/a/b"),
            ("/a/x/..", "/a/"),
            ("/a/..", "/"),
            ("/a/%2e%2E/b", "/b"),
            ("/%61%2d%7e", "/a-~"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%3ab:c", "/a%3Ab:c"),
            ("/caf\u{e9}", "/caf%C3%A9"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/{x}|\"", "/%7Bx%7D%7C%22"),
            ("/a//../b", "/b"),
            ("/a;..;b/c;x=%252fd", "/a;..;b/c;x=%252fd"),
            ("/100%25/%25..", "/100%25/%25.."),
        ] {
            assert_eq!(normalise(written).as_deref(), Ok(normal), "{written}");
        }
    }

    #[test]
    fn a_path_with_two_readings_is_refused() {
        for (written, error) in [
            ("*", PathError::NotAPath),
            ("", PathError::NotAPath),
            ("/a%2", PathError::Percent),
            ("/a%zz", PathError::Percent),
            ("/a%+1", PathError::Percent),
            ("/a\\..\\b", PathError::Backslash),
            ("/a%5cb", PathError::Backslash),
            ("/a%00", PathError::Control),
            ("/a%0d%0Ab", PathError::Control),
            ("/..", PathError::AboveRoot),
            ("/a/../../b", PathError::AboveRoot),
            ("/%2e%2e/b", PathError::AboveRoot),
            ("/a/..%2fb", PathError::HiddenDots),
            ("/a/x%2f%2e%2e", PathError::HiddenDots),
            ("/a/..;/b", PathError::HiddenDots),
            ("/a/%2e%2e%3bx=y/b", PathError::HiddenDots),
            ("/a/.;", PathError::HiddenDots),
            ("/a/x%2f..;a", PathError::HiddenDots),
            ("/a/%252e%252e/b", PathError::HiddenDots),
            ("/a/x%25252f%25252e", PathError::HiddenDots),
            ("/a/..%255cb", PathError::HiddenDots),
            ("/. ", PathError::HiddenDots),
            ("/%c0%ae%c0%ae/", PathError::NotUtf8),
            ("/%ff", PathError::NotUtf8),
        ] {
            assert_eq!(normalise(written), Err(error), "{written}");
        }
    }

    proptest! {
        #[test]
        fn what_is_plain_on_sight_is_its_own_one_form(path in "[/a.%2e~_!-]{0,8}") {
            if is_plain(&path) {
                prop_assert_eq!(normalise(&path), Ok(path));
            }
        }
    }

    proptest! {
        #[test]
        fn a_normal_path_is_its_own_normal_form(path in "/[a-c./%0-9A-F\u{e9}{ ]{0,24}") {
            if let Ok(normal) = normalise(&path) {
                prop_assert_eq!(normalise(&normal), Ok(normal.clone()));
                prop_assert!(normal.starts_with('/') && !normal.contains("//"));
                prop_assert!(!normal.split('/').any(|segment| matches!(segment, "." | "..")));
                prop_assert!(normal.parse::<http::uri::PathAndQuery>().is_ok());
            }
        }
    }
}
