//! The house has floors: a room uses only rooms on lower floors.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Each room and its floor. `lib.rs` and `main.rs` stand on the roof and may use everything.
const FLOORS: &[(&str, u8)] = &[
    ("clock", 0),
    ("name", 0),
    ("private", 0),
    ("template", 1),
    ("metrics", 1),
    ("log", 1),
    ("traces", 1),
    ("credential", 2),
    ("config", 3),
    ("store", 3),
    ("upstream", 3),
    ("manager", 4),
    ("proxy", 5),
    ("assemble", 6),
    ("serve", 7),
    ("admin", 7),
    ("demo", 8),
    ("cli", 9),
];

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The rooms that a source names: what follows `crate::`, also inside `crate::{…}`.
fn rooms_named(source: &str) -> BTreeSet<String> {
    let code: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` and `other_crate::` are not ours.
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => drop(rooms.insert(identifier(rest))),
            Some(group) => first_names(group, &mut rooms),
        }
    }
    rooms
}

/// The first name of each path in a `{…}` group.
fn first_names(group: &str, rooms: &mut BTreeSet<String>) {
    let mut depth = 0;
    let mut at_start = true;
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => return,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            character if at_start && depth == 0 && !character.is_whitespace() => {
                rooms.insert(identifier(&group[at..]));
                at_start = false;
            }
            _ => {}
        }
    }
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|character| character.is_alphanumeric() || *character == '_')
        .collect()
}

#[test]
fn a_room_uses_only_rooms_on_lower_floors() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    assert!(
        files.len() >= FLOORS.len(),
        "only {} files were found to check",
        files.len()
    );

    let mut faults = Vec::new();
    let mut checked = BTreeSet::new();
    for file in files {
        let inside = file.strip_prefix(&source).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = first.trim_end_matches(".rs");
        if room == "lib" || room == "main" {
            continue;
        }
        let Some(own) = floor(room) else {
            faults.push(format!("{}: room {room} has no floor", inside.display()));
            continue;
        };
        checked.insert(room.to_owned());
        for used in rooms_named(&fs::read_to_string(&file).unwrap()) {
            let Some(other) = floor(&used) else { continue };
            if used != room && other >= own {
                faults.push(format!(
                    "{}: {room} (floor {own}) uses {used} (floor {other})",
                    inside.display()
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let all: BTreeSet<String> = FLOORS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(checked, all, "each room has files, and each was checked");
}

#[test]
fn names_are_found_alone_and_in_groups() {
    let source = "use crate::clock::Clock;\nuse crate::{\n  config::{a, b},\n  store,\n};\n// crate::proxy\nfn f() { crate::cli::run() }";
    let rooms: Vec<_> = rooms_named(source).into_iter().collect();
    assert_eq!(rooms, ["cli", "clock", "config", "store"]);
}
