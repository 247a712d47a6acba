//! docs/failures.md tells of every code that bearerd answers with and every exit code, and of no others.

use std::collections::{BTreeMap, BTreeSet};

use bearerd::proxy::Code;

use crate::markdown::text;

const PAGE: &str = "docs/failures.md";

/// The rows of the table under this heading, as cells.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let page = text(PAGE);
    let (_, section) = page
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    // The head of the table and its rule come first.
    rows.skip(2)
        .map(|row| {
            row.trim_matches('|')
                .split(" | ")
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect()
}

#[test]
fn every_code_stands_in_the_table_and_no_other() {
    let mut told = BTreeMap::new();
    for row in rows("Answers") {
        assert_eq!(row.len(), 4, "{row:?}");
        let (status, code) = row[0].split_once(' ').unwrap();
        told.insert(code.trim_matches('`').to_owned(), status.to_owned());
        assert!(row[1..].iter().all(|cell| cell.len() > 10), "{row:?}");
    }
    let codes = Code::ALL
        .iter()
        .map(|code| (code.as_str().to_owned(), code.status().as_u16().to_string()));
    assert_eq!(told, codes.collect());
}

#[test]
fn every_code_of_the_readme_is_one() {
    let readme = text("README.md");
    let (_, section) = readme.split_once("\n## Answers of its own\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let told = section
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'));
    let mut told: Vec<(String, String)> = told
        .flat_map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(str::trim);
            let (status, codes) = (cells.next().unwrap().to_owned(), cells.next().unwrap());
            codes
                .split(' ')
                .map(move |code| (status.clone(), code.trim_matches('`').to_owned()))
                .collect::<Vec<_>>()
        })
        .collect();
    told.sort();
    let codes = Code::ALL
        .iter()
        .map(|code| (code.status().as_u16().to_string(), code.as_str().to_owned()));
    let mut codes: Vec<_> = codes.collect();
    codes.sort();
    assert_eq!(told, codes);
}

#[test]
fn every_exit_code_stands_in_the_table_and_no_other() {
    let told: Vec<u8> = rows("Exit codes").iter().map(|row| row[0].parse().unwrap()).collect();
    // 130 and 143 would be a signal's; bearerd ends in order at both.
    assert_eq!(told, bearerd::cli::EXIT_CODES);
}

/// The text of every source.
fn sources(folder: &std::path::Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, into),
            // Tests log what they like.
            false if path.ends_with("tests.rs") => {}
            false => into.push_str(&std::fs::read_to_string(path).unwrap()),
        }
    }
}

/// The words of each warning and error that a source logs: the last literal of the macro, up to its first value.
fn warnings(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for level in ["warn", "error"] {
        for (at, begun) in source.match_indices(&format!("tracing::{level}!(")) {
            let (mut depth, mut is_quoted, mut last, mut literal) = (1, false, String::new(), String::new());
            let mut characters = source[at + begun.len()..].chars();
            while let Some(character) = characters.next() {
                match character {
                    // A line that goes on leaves out the next one's indentation.
                    '\\' if is_quoted => {
                        let skipped = characters.clone().take_while(|next| next.is_whitespace()).count();
                        characters.nth(skipped.max(1) - 1);
                    }
                    '"' if is_quoted => {
                        last = std::mem::take(&mut literal);
                        is_quoted = false;
                    }
                    '"' => is_quoted = true,
                    _ if is_quoted => literal.push(character),
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
            found.insert(last.split('{').next().unwrap().to_owned());
        }
    }
    found
}

#[test]
fn every_warning_and_error_of_the_log_stands_in_the_table_and_no_other() {
    let mut source = String::new();
    sources(&crate::markdown::root().join("src"), &mut source);
    let rows = rows("Log lines");
    let told: BTreeSet<String> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    assert!(told.len() > 20, "{told:?}");
    assert_eq!(told, warnings(&source));
}

#[test]
fn the_last_literal_of_a_warning_is_its_words() {
    let source = "tracing::warn!(a = \"b\", c = f(\")\"), \"words \\\n    and {} more\", x); tracing::info!(\"no\");\n\
                  tracing::error!(\"e\");";
    let found: Vec<_> = warnings(source).into_iter().collect();
    assert_eq!(found, ["e", "words and "]);
}
