//! An answer of any length, held in little.
//!
//! A token reply may come with megabytes of something else. Giving up on it would lose the refresh token in it
//! (law 5), and holding it whole would cost a sidecar its memory in the middle of a spend. What is held is the JSON
//! without what no token can be: runs of white space, and texts that are too long.

/// A text longer than this is held as an empty one, in bytes. No token is: no server takes such a header.
const LONGEST_TEXT: usize = 64 * 1024;
/// The longest run of white space that is held.
const LONGEST_SPACE: usize = 16;

/// A body as it comes in.
#[derive(Debug)]
pub struct Squeeze {
    held: Vec<u8>,
    most: usize,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// Between texts, after so many spaces.
    Between { spaces: usize },
    /// In a text whose content is held from there on.
    Text { start: usize, escaped: bool },
    /// In a text that is too long.
    Skipped { escaped: bool },
}

impl Squeeze {
    /// Holds `most` bytes at the most, a text that turns out too long included.
    pub fn new(most: usize) -> Self {
        Self {
            held: Vec::new(),
            most,
            place: Place::Between { spaces: 0 },
        }
    }

    /// Takes in what came next; `false` if it can't be held, and what is held breaks off.
    pub fn push(&mut self, piece: &[u8]) -> bool {
        piece.iter().all(|byte| self.take(*byte))
    }

    /// What is held.
    pub fn into_held(self) -> Vec<u8> {
        self.held
    }

    fn take(&mut self, byte: u8) -> bool {
        self.place = match self.place {
            Place::Between { spaces } if byte.is_ascii_whitespace() => {
                if spaces >= LONGEST_SPACE {
                    return true;
                }
                Place::Between { spaces: spaces + 1 }
            }
            Place::Between { .. } if byte == b'"' => Place::Text {
                start: self.held.len() + 1,
                escaped: false,
            },
            Place::Between { .. } => Place::Between { spaces: 0 },
            Place::Text { escaped: false, .. } | Place::Skipped { escaped: false } if byte == b'"' => {
                Place::Between { spaces: 0 }
            }
            Place::Text { start, .. } if self.held.len() - start >= LONGEST_TEXT => {
                // A part of it could be taken for the whole.
                self.held.truncate(start);
                Place::Skipped {
                    escaped: self.is_escape(byte),
                }
            }
            Place::Text { start, .. } => Place::Text {
                start,
                escaped: self.is_escape(byte),
            },
            Place::Skipped { .. } => Place::Skipped {
                escaped: self.is_escape(byte),
            },
        };
        if matches!(self.place, Place::Skipped { .. }) {
            return true;
        }
        if self.held.len() >= self.most {
            return false;
        }
        self.held.push(byte);
        true
    }

    /// Whether this backslash escapes what follows it.
    fn is_escape(&self, byte: u8) -> bool {
        let was_escaped = matches!(
            self.place,
            Place::Text { escaped: true, .. } | Place::Skipped { escaped: true }
        );
        byte == b'\\' && !was_escaped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn squeezed(pieces: &[&[u8]], most: usize) -> (Vec<u8>, bool) {
        let mut squeeze = Squeeze::new(most);
        let fits = pieces.iter().all(|piece| squeeze.push(piece));
        (squeeze.into_held(), fits)
    }

    #[test]
    fn what_no_token_can_be_is_not_held() {
        let long = "x\\\"\\\\".repeat(LONGEST_TEXT);
        let body = format!(
            "{{{}\"pad\": \"{long}\", \"refresh_token\": \"r1\"}}",
            " ".repeat(100_000)
        );
        let (held, fits) = squeezed(&[body.as_bytes()], 2 * LONGEST_TEXT);
        assert!(fits && held.len() < 100, "{}", held.len());
        let json: serde_json::Value = serde_json::from_slice(&held).unwrap();
        assert_eq!(json, serde_json::json!({"pad": "", "refresh_token": "r1"}));
    }

    #[test]
    fn what_cannot_be_held_breaks_off() {
        let (held, fits) = squeezed(&[&[b'1'; 1000]], 100);
        assert!(!fits);
        assert_eq!(held.len(), 100);
    }

    proptest! {
        #[test]
        fn an_ordinary_body_is_held_as_it_is(text in "[^ \t\r\n\x0c]{0,200}", cut in 0..200usize) {
            let body = text.as_bytes();
            let (one, two) = body.split_at(cut.min(body.len()));
            prop_assert_eq!(squeezed(&[one, two], 10_000), (body.to_vec(), true));
        }
    }
}
