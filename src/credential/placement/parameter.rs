//! A parameter of a query or of an urlencoded body: removing the caller's own, by decoded name, and adding ours.
//!
//! Everything that is not removed stays byte for byte. `;` separates pairs too, because servers of an older habit
//! (HTML 4.01 §B.2.2) read it so, and a caller's own parameter must reach neither kind.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The query without the parameter of this decoded name; borrowed where there is none.
pub fn strip_query<'a>(query: &'a str, name: &str) -> Cow<'a, str> {
    match strip(query.as_bytes(), name) {
        Cow::Borrowed(_) => Cow::Borrowed(query),
        // Pairs are cut out at ASCII separators, so what is left is still UTF-8.
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// The query with `pair` as the only parameter of this decoded name, and last.
pub fn rewrite_query(query: Option<&str>, name: &str, pair: &str) -> String {
    let stripped = strip_query(query.unwrap_or_default(), name);
    if stripped.is_empty() {
        pair.to_owned()
    } else {
        format!("{stripped}&{pair}")
    }
}

/// The urlencoded body with `pair` as the only field of this decoded name, and last.
pub fn rewrite_form(body: &[u8], name: &str, pair: &str) -> Vec<u8> {
    let mut rewritten = strip(body, name).into_owned();
    if !rewritten.is_empty() {
        rewritten.push(b'&');
    }
    rewritten.extend_from_slice(pair.as_bytes());
    rewritten
}

/// A Location without the parameter of this decoded name: an upstream may repeat the query that it was sent.
pub fn strip_location<'a>(location: &'a str, name: &str) -> Cow<'a, str> {
    let (url, fragment) = match location.find('#') {
        Some(at) => location.split_at(at),
        None => (location, ""),
    };
    let Some((base, query)) = url.split_once('?') else {
        return Cow::Borrowed(location);
    };
    match strip_query(query, name) {
        Cow::Borrowed(_) => Cow::Borrowed(location),
        Cow::Owned(query) if query.is_empty() => Cow::Owned(format!("{base}{fragment}")),
        Cow::Owned(query) => Cow::Owned(format!("{base}?{query}{fragment}")),
    }
}

fn strip<'a>(pairs: &'a [u8], name: &str) -> Cow<'a, [u8]> {
    if !pieces(pairs).any(|(_, piece)| is_named(piece, name)) {
        return Cow::Borrowed(pairs);
    }
    let mut left = Vec::with_capacity(pairs.len());
    let mut is_first = true;
    for (separator, piece) in pieces(pairs).filter(|(_, piece)| !is_named(piece, name)) {
        if !is_first {
            left.extend(separator);
        }
        is_first = false;
        left.extend_from_slice(piece);
    }
    Cow::Owned(left)
}

/// The pairs, each with the separator before it.
fn pieces(pairs: &[u8]) -> impl Iterator<Item = (Option<u8>, &[u8])> {
    let mut at = 0_usize;
    pairs.split(|byte| matches!(byte, b'&' | b';')).map(move |piece| {
        let separator = at.checked_sub(1).map(|before| pairs[before]);
        at += piece.len() + 1;
        (separator, piece)
    })
}

/// Whether the pair's name, decoded, is this one. A plus is a space (application/x-www-form-urlencoded).
fn is_named(piece: &[u8], name: &str) -> bool {
    let raw = piece.split(|byte| *byte == b'=').next().unwrap_or_default();
    let spaced: Vec<u8> = raw
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    percent_decode(&spaced).eq(name.bytes())
}
