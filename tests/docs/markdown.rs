//! The pages, and the blocks in them.

use std::{fs, path::Path};

/// A fenced block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// The page, from the repository's root.
    pub(crate) page: String,
    /// The line of its fence.
    pub(crate) line: usize,
    /// How many headings stand before it in its page.
    pub(crate) section: usize,
    pub(crate) language: String,
    pub(crate) text: String,
    /// The comments right above it: what stands before the colon, and what behind it.
    pub(crate) notes: Vec<(String, String)>,
}

impl Block {
    pub(crate) fn note(&self, name: &str) -> Option<&str> {
        let note = self.notes.iter().find(|(known, _)| known == name);
        note.map(|(_, text)| text.as_str())
    }

    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn text(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// The README and every page of docs/.
pub(crate) fn pages() -> Vec<String> {
    let entries = fs::read_dir(root().join("docs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<String> = names
        .filter(|name| name.ends_with(".md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    pages.push("README.md".into());
    pages.sort();
    assert!(pages.len() >= 10, "{pages:?}");
    pages
}

/// Every block of every page.
pub(crate) fn all_blocks() -> Vec<Block> {
    pages().iter().flat_map(|page| blocks(page, &text(page))).collect()
}

/// The blocks of a page.
pub(crate) fn blocks(page: &str, text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let (mut notes, mut section) = (Vec::new(), 0);
    let mut lines = text.lines().enumerate();
    while let Some((nth, line)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let inside: Vec<&str> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != "```")
                .collect();
            found.push(Block {
                page: page.into(),
                line: nth + 1,
                section,
                language: language.into(),
                text: inside.join("\n") + "\n",
                notes: std::mem::take(&mut notes),
            });
        } else if let Some(begun) = line.strip_prefix("<!--") {
            let mut comment = begun.to_owned();
            while !comment.ends_with("-->") {
                let (_, more) = lines
                    .next()
                    .unwrap_or_else(|| panic!("{page}:{}: a comment without end", nth + 1));
                comment = format!("{comment}\n{more}");
            }
            let comment = comment.trim_end_matches("-->");
            if let Some((name, text)) = comment.split_once(':') {
                notes.push((name.trim().to_owned(), text.trim().to_owned()));
            }
        } else if !line.trim().is_empty() {
            notes.clear();
            section += usize::from(line.starts_with('#'));
        }
    }
    found
}

#[test]
fn blocks_are_found_with_their_notes() {
    let page = "# a\n\n<!-- says: x: y -->\n<!-- before:\nb\nc\n-->\n```sh\nd\n```\n<!-- says: z -->\nwords\n```text\n# no heading\n```\n## e\n```sh\nf\n```\n";
    let found = blocks("p", page);
    let told: Vec<_> = found
        .iter()
        .map(|block| (block.section, &*block.language, &*block.text))
        .collect();
    assert_eq!(
        told,
        [(1, "sh", "d\n"), (1, "text", "# no heading\n"), (2, "sh", "f\n")]
    );
    assert_eq!(
        (found[0].note("says"), found[0].note("before")),
        (Some("x: y"), Some("b\nc"))
    );
    assert_eq!((found[0].line, found[1].notes.len()), (8, 0));
}
