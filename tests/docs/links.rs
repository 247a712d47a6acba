//! Links within the repository lead somewhere, and their fragments to a heading.

use std::collections::BTreeSet;

use crate::markdown::{pages, root, text};

/// The fragments of a page: its headings in small letters, spaces as hyphens, without punctuation.
fn fragments(page: &str) -> BTreeSet<String> {
    let headings = text(page);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for page in pages() {
        let folder = std::path::Path::new(&page).parent().unwrap().to_owned();
        let source = text(&page);
        for (before, _) in source.match_indices("](") {
            let target = source[before + 2..].split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            seen += 1;
            let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
            let full = if path.is_empty() {
                root().join(&page)
            } else {
                root().join(&folder).join(path)
            };
            let Ok(full) = full.canonicalize() else {
                wrong.push(format!("{page}: {target}: no such file"));
                continue;
            };
            let name = full
                .strip_prefix(root().canonicalize().unwrap())
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            if !fragment.is_empty() && !fragments(&name).contains(fragment) {
                wrong.push(format!("{page}: {target}: no such heading"));
            }
        }
    }
    assert_eq!(wrong, [] as [&str; 0]);
    assert!(seen > 20, "only {seen} links were found");
}

#[test]
fn every_page_is_linked_from_another() {
    let all: String = pages().iter().map(|page| text(page)).collect();
    for page in pages().iter().filter(|page| *page != "README.md") {
        let name = page.trim_start_matches("docs/");
        assert!(
            all.contains(&format!("({name}")) || all.contains(&format!("(docs/{name}")),
            "{page}"
        );
    }
}
