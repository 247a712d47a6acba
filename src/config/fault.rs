//! What is wrong with a config, worded for operators: where, what, and what to do next. Never a value.

use std::{
    fmt::{self, Write as _},
    path::PathBuf,
    sync::Arc,
};

use super::node::KeyPath;

/// Where a key or a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Origin {
    /// In a file; line and column count from 1.
    File {
        /// Which of the files it is, in the order given.
        order: usize,
        /// Its path.
        file: Arc<PathBuf>,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// In an environment variable.
    Variable(String),
    /// Nowhere that is known.
    #[default]
    Nowhere,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line: 0, .. } => write!(f, "{}", file.display()),
            Self::File { file, line, column, .. } => write!(f, "{}:{line}:{column}", file.display()),
            Self::Variable(name) => write_line(f, name),
            Self::Nowhere => f.write_str("config"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where it was written.
    pub origin: Origin,
    /// The key's path, `credentials.fluent.params.account`; empty where it is about a whole file.
    pub path: KeyPath,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write_line(f, &self.message)?;
        if let Some(hint) = &self.hint {
            f.write_str("; ")?;
            write_line(f, hint)?;
        }
        Ok(())
    }
}

/// Writes a text that may hold an operator's names: none of them begins another line.
pub(super) fn write_line(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        f.write_char(if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })?;
    }
    Ok(())
}

/// Everything that is wrong, by position; a line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// These faults, sorted, each of them once.
    pub(super) fn of(mut faults: Vec<Fault>) -> Self {
        faults.sort();
        faults.dedup();
        Self(faults)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, fault) in self.0.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

/// The known word that an unknown one was probably meant to be.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Below this two words merely share letters.
    const ALIKE: f64 = 0.72;
    known
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(word, candidate),
                strsim::jaro_winkler(word, candidate),
                candidate,
            )
        })
        .filter(|(edits, alike, _)| *edits <= 2 && *alike > 0.5 || *alike > ALIKE)
        .min_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)))
        .map(|(_, _, candidate)| candidate)
}

/// "did you mean `upstream`?", else the words there are.
pub(super) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    /// More than these would bury the message.
    const LISTED: usize = 24;
    if let Some(meant) = closest(word, known.clone()) {
        return Some(format!("did you mean `{meant}`?"));
    }
    let known: Vec<&str> = known.into_iter().collect();
    match known.len() {
        0 => None,
        1..=LISTED => Some(format!("it can be {}", known.join(", "))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_where_what_and_what_next() {
        let fault = Fault {
            origin: Origin::File {
                order: 0,
                file: Arc::new("bearerd.yaml".into()),
                line: 12,
                column: 5,
            },
            path: KeyPath::of(["credentials", "fluent", "params", "acount"]),
            message: "unknown parameter of preset fluent-commerce".into(),
            hint: Some("did you mean `account`?".into()),
        };
        assert_eq!(
            fault.to_string(),
            "bearerd.yaml:12:5: credentials.fluent.params.acount: unknown parameter of preset fluent-commerce; \
             did you mean `account`?"
        );
    }

    #[test]
    fn a_fault_is_one_line_whatever_names_it_tells() {
        let fault = Fault {
            origin: Origin::Variable("BEARERD__A\nB".into()),
            path: KeyPath::of(["a\nb", "\u{1b}[31m"]),
            message: "the environment variable X\nY is not set".into(),
            hint: Some("a\rb".into()),
        };
        assert!(!fault.to_string().contains(char::is_control));
    }

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_is_not() {
        assert_eq!(closest("upsteam", ["listener", "upstream", "url"]), Some("upstream"));
        assert_eq!(closest("acount", ["account", "base_url"]), Some("account"));
        assert_eq!(closest("zzzz", ["account", "base_url"]), None);
    }
}
