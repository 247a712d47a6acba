//! How the store answered last, whoever asked: subjects, too, of which nothing else is told.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// How the store answered last. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct StoreHealth(Arc<ArcSwapOption<StoreTrouble>>);

/// A store that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreTrouble {
    /// Since when: milliseconds since the Unix epoch.
    pub since: u64,
    /// What it said last.
    pub text: String,
}

impl StoreHealth {
    /// Takes an answer in.
    pub(super) fn heard<T>(&self, answer: &Result<T, String>, wall: u64) {
        let before = self.0.load();
        match (answer, &*before) {
            (Ok(_), None) => {}
            (Ok(_), Some(_)) => self.0.store(None),
            (Err(text), before) => {
                if before.as_ref().is_some_and(|before| before.text == *text) {
                    return;
                }
                self.0.store(Some(Arc::new(StoreTrouble {
                    since: before.as_ref().map_or(wall, |before| before.since),
                    text: text.clone(),
                })));
            }
        }
    }

    /// What is wrong with it, if anything is.
    pub fn trouble(&self) -> Option<StoreTrouble> {
        self.0.load().as_deref().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_lasts_from_its_beginning_to_the_next_answer() {
        let health = StoreHealth::default();
        health.heard(&Ok(1), 1);
        assert_eq!(health.trouble(), None);
        health.heard::<()>(&Err("the disk is full".into()), 2);
        health.heard::<()>(&Err("the file is gone".into()), 3);
        let trouble = health.trouble().unwrap();
        assert_eq!((trouble.since, &*trouble.text), (2, "the file is gone"));
        health.heard(&Ok(()), 4);
        assert_eq!(health.trouble(), None);
    }
}
