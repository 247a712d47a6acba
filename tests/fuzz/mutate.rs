//! What chance makes of a text.

use proptest::prelude::*;

/// One change; places are shares of the text's length.
#[derive(Debug, Clone)]
enum Change {
    Set(u16, u8),
    Insert(u16, Vec<u8>),
    Remove(u16, u8),
    /// A piece of it goes to another place, too.
    Copy(u16, u8, u16),
    /// A piece of another text of the corpus.
    Splice(u16, usize, u16, u8),
    CutOff(u16),
}

/// A text of the corpus after a few changes; `words` are what readers of it look for.
pub(crate) fn mutated(corpus: Vec<Vec<u8>>, words: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => prop::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    let change = prop_oneof![
        2 => (any::<u16>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        6 => (any::<u16>(), word).prop_map(|(at, word)| Change::Insert(at, word)),
        2 => (any::<u16>(), 1_u8..20).prop_map(|(at, length)| Change::Remove(at, length)),
        2 => (any::<u16>(), any::<u8>(), any::<u16>()).prop_map(|(from, length, to)| Change::Copy(from, length, to)),
        2 => (any::<u16>(), 0..corpus.len(), any::<u16>(), any::<u8>())
            .prop_map(|(at, other, from, length)| Change::Splice(at, other, from, length)),
        1 => any::<u16>().prop_map(Change::CutOff),
    ];
    let changes = prop::collection::vec(change, 0..6);
    (0..corpus.len(), changes).prop_map(move |(nth, changes)| {
        let text = corpus[nth].clone();
        changes.iter().fold(text, |text, change| changed(text, change, &corpus))
    })
}

fn changed(mut text: Vec<u8>, change: &Change, corpus: &[Vec<u8>]) -> Vec<u8> {
    let place = |share: u16, length: usize| usize::from(share) * length / (usize::from(u16::MAX) + 1);
    let piece = |of: &[u8], from: u16, length: u8| {
        let from = place(from, of.len());
        of[from..of.len().min(from + usize::from(length))].to_vec()
    };
    match *change {
        Change::Set(at, byte) if !text.is_empty() => {
            let at = place(at, text.len());
            text[at] = byte;
        }
        Change::Set(..) => {}
        Change::Insert(at, ref word) => {
            let at = place(at, text.len() + 1);
            insert(&mut text, at, word);
        }
        Change::Remove(at, length) => {
            let at = place(at, text.len());
            text.drain(at..text.len().min(at + usize::from(length)));
        }
        Change::Copy(from, length, to) => {
            let piece = piece(&text, from, length);
            let to = place(to, text.len() + 1);
            insert(&mut text, to, &piece);
        }
        Change::Splice(at, other, from, length) => {
            let piece = piece(&corpus[other], from, length);
            let at = place(at, text.len() + 1);
            insert(&mut text, at, &piece);
        }
        Change::CutOff(at) => text.truncate(place(at, text.len())),
    }
    text
}

fn insert(text: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let at = at.min(text.len());
    text.splice(at..at, piece.iter().copied());
}
