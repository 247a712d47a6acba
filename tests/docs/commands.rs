//! Every block of commands runs as it is written.
//!
//! The blocks under one heading are one shell, from an empty directory that has the repository's `deploy`,
//! `config` and `docs` in it; `bearerd` is on the path. Each shell has network, processes, `/etc`, `/usr`, `/var` and `/run`
//! of its own, so ports are free and nothing that it installs stays. Comments right above a block say more:
//!
//! - `<!-- before: COMMANDS -->` is run first: what a reader has and a shell hasn't;
//! - `<!-- beside: COMMAND -->`: the block goes on in a terminal of its own, and the next begins once this succeeds;
//! - `<!-- says: WORDS -->`: its output has these words;
//! - `<!-- as: root -->`: it writes where root alone may;
//! - `<!-- not run: WHY -->`, of a block of the language `console`.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use crate::markdown::{Block, all_blocks, root};

/// How long a shell may take, in seconds.
const PATIENCE: &str = "100";

/// What begins a line of a shell.
const COMMANDS: [&str; 12] = [
    "bearerd ",
    "cargo ",
    "curl ",
    "docker ",
    "kubectl ",
    "systemctl ",
    "install ",
    "export ",
    "systemd-",
    "sqlite3 ",
    "kill ",
    "sudo ",
];

/// A shell's own directories lie over the machine's, in memory. `$1` is a directory for that.
const STAGE: &str = r#"
mount -t tmpfs over "$1"
for place in etc usr var run; do
  mkdir -p "$1/$place/upper" "$1/$place/work"
  mount -t overlay over -o "lowerdir=/$place,upperdir=$1/$place/upper,workdir=$1/$place/work" "/$place"
done
ip link set lo up
"#;

/// What the blocks of a shell stand in: `$OUT` is what each has said.
const HEAD: &str = r#"
set -euo pipefail
exec 3>&1
trap 'code=$?; [[ $code == 0 ]] || tail -n +1 "$OUT".* >&3' EXIT
until_it_does() {
  for _ in $(seq 300); do if bash -c "$1" >/dev/null 2>&1; then return; fi; sleep 0.1; done
  echo "never: $1" >&3; exit 1
}
said() { grep -qF -e "$2" "$OUT.$1" || { echo "it doesn't say: $2" >&3; exit 1; }; }
"#;

/// Processes, a network and file systems of one's own.
fn apart() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]);
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command
}

/// Whether shells can be had here.
fn is_possible() -> bool {
    let place = tempfile::tempdir().unwrap();
    let tried = apart().args(["bash", "-ec", STAGE, "stage"]).arg(place.path()).output();
    let why = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    assert!(
        env::var_os("BEARERD_TESTS_DEMAND").is_none(),
        "namespaces can't be had: {why}"
    );
    let _ = writeln!(std::io::stderr(), "skipped: namespaces can't be had: {why}");
    false
}

/// The script of a shell's blocks.
fn script(blocks: &[Block]) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let mut script = HEAD.to_owned();
    for (nth, block) in blocks.iter().enumerate() {
        script += &format!("\n: {}\n{}\n", block.place(), block.note("before").unwrap_or_default());
        script += &format!("{{\n{}}} >\"$OUT.{nth}\" 2>&1", block.text);
        match block.note("beside") {
            Some(ready) => script += &format!(" &\nuntil_it_does {}\n", quoted(ready)),
            None => script += "\n",
        }
        if let Some(words) = block.note("says") {
            script += &format!("said {nth} {}\n", quoted(words));
        }
    }
    script
}

/// A directory as a reader has it after a build.
fn furnish(place: &Path) {
    for name in ["deploy", "config", "docs"] {
        symlink(root().join(name), place.join(name)).unwrap();
    }
    let release = place.join("target/release");
    fs::create_dir_all(&release).unwrap();
    symlink(env!("CARGO_BIN_EXE_bearerd"), release.join("bearerd")).unwrap();
}

/// Runs a shell; its outcome and what it said.
fn run(blocks: &[Block]) -> Result<(), String> {
    let place = tempfile::tempdir().unwrap();
    let work = place.path().join("work");
    fs::create_dir_all(&work).unwrap();
    for name in ["over", "tmp"] {
        fs::create_dir_all(place.path().join(name)).unwrap();
    }
    furnish(&work);
    fs::write(place.path().join("shell"), script(blocks)).unwrap();
    let mut path = work.join("target/release").into_os_string();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", PATIENCE]);
    let unshare = apart();
    command.arg(unshare.get_program()).args(unshare.get_args());
    command
        .args(["bash", "-ec", &format!("{STAGE}\nshift; exec bash \"$@\""), "stage"])
        .arg(place.path().join("over"))
        .arg(place.path().join("shell"))
        .env_clear()
        .env("PATH", path)
        .env("HOME", &work)
        // Process numbers are the shell's own, so names made of them would be taken twice.
        .env("TMPDIR", place.path().join("tmp"))
        .env("OUT", place.path().join("out"))
        .current_dir(&work)
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{}: {}\n{}{}",
            blocks[0].place(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

#[test]
fn every_block_of_commands_runs() {
    if !is_possible() {
        return;
    }
    let mut shells: BTreeMap<(String, usize), Vec<Block>> = BTreeMap::new();
    for block in all_blocks().into_iter().filter(|block| block.language == "sh") {
        shells
            .entry((block.page.clone(), block.section))
            .or_default()
            .push(block);
    }
    shells.retain(|_, blocks| {
        let may_run =
            !blocks.iter().any(|block| block.note("as") == Some("root")) || rustix::process::geteuid().is_root();
        if !may_run {
            assert!(
                env::var_os("BEARERD_TESTS_DEMAND").is_none(),
                "{} is for root",
                blocks[0].place()
            );
            let _ = writeln!(std::io::stderr(), "skipped: {} is for root", blocks[0].place());
        }
        may_run
    });
    let only = env::var("BEARERD_DOCS_ONLY").unwrap_or_default();
    let shells: Vec<_> = shells
        .into_values()
        .filter(|blocks| blocks[0].place().contains(&only))
        .collect();
    let blocks: usize = shells.iter().map(Vec::len).sum();
    assert!(blocks >= 15 || !only.is_empty(), "only {blocks} blocks were found");
    // Two at a time: most of a shell is waiting.
    let halves: Vec<Vec<_>> = (0..2)
        .map(|half| shells.iter().skip(half).step_by(2).collect())
        .collect();
    let failed: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = halves
            .into_iter()
            .map(|half| {
                scope.spawn(move || {
                    half.into_iter()
                        .filter_map(|blocks| run(blocks).err())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        running.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let _ = writeln!(
        std::io::stderr(),
        "{blocks} blocks of commands ran, in {} shells",
        shells.len()
    );
}

#[test]
fn a_shell_that_fails_is_told() {
    if !is_possible() {
        return;
    }
    let one = |text: &str, says: &str| {
        let notes = vec![("says".to_owned(), says.to_owned())];
        let page = "page".to_owned();
        let (language, text) = ("sh".to_owned(), text.to_owned());
        run(&[Block {
            page,
            line: 7,
            section: 1,
            language,
            text,
            notes,
        }])
    };
    assert_eq!(one("echo \"it's so\"\n", "it's so"), Ok(()));
    let told = one("echo before\nfalse\necho after\n", "").unwrap_err();
    assert!(
        told.contains("page:7") && told.contains("before") && !told.contains("after"),
        "{told}"
    );
    let told = one("echo this\n", "that").unwrap_err();
    assert!(told.contains("it doesn't say: that"), "{told}");
}

#[test]
fn what_is_not_run_says_why() {
    let mut unsaid = Vec::new();
    for block in all_blocks() {
        let has_commands = block
            .text
            .lines()
            .any(|line| COMMANDS.iter().any(|command| line.trim_start().starts_with(command)));
        let is_well = match block.language.as_str() {
            "sh" => block.note("not run").is_none(),
            "console" => block.note("not run").is_some_and(|why| why.len() > 10),
            "text" => !has_commands,
            language => ["yaml", "json", "rust"].contains(&language),
        };
        if !is_well {
            unsaid.push(block.place());
        }
    }
    assert_eq!(
        unsaid,
        [] as [&str; 0],
        "commands are `sh`, or `console` with a reason why they are not run"
    );
}
