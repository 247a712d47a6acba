//! What became of one case, and a table of many: cases of one outcome stand in one row.

use bearerd::demo::Counts;

use crate::point::Setup;

/// What a caller is told whose session has ended.
pub(crate) const LOGIN_REQUIRED: &str = "503 login_required";

/// What became of one case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) setup: Setup,
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
}

/// What callers got, and what the server counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What callers got while it happened.
    pub(crate) meanwhile: String,
    /// What they got afterwards, from each process.
    pub(crate) afterwards: String,
    pub(crate) spends: u64,
    pub(crate) reuses: u64,
    pub(crate) sign_ins: u64,
    /// The session ended although the provider had not ended it.
    pub(crate) lost: bool,
}

impl Outcome {
    pub(crate) fn of(meanwhile: String, afterwards: &[String], before: Counts, after: Counts) -> Self {
        Self {
            meanwhile,
            afterwards: afterwards.join(", "),
            spends: after.spends - before.spends,
            reuses: after.reuses - before.reuses,
            sign_ins: after.password - before.password,
            lost: afterwards.iter().any(|answer| answer != "200"),
        }
    }
}

/// Shows a table, whose cases are of this kind.
#[expect(clippy::print_stdout, reason = "shown with --nocapture, or when the test fails")]
pub(crate) fn show(what: &str, cases: &[Case]) {
    println!("| set-up | {what} | callers meanwhile | afterwards | spends | reuses | lost | sign-ins |");
    println!("| --- | --- | --- | --- | ---: | ---: | ---: | ---: |");
    let mut rows: Vec<(Setup, Vec<&str>, &Outcome)> = Vec::new();
    for Case { setup, name, outcome } in cases {
        let row = rows.iter_mut().find(|(of, _, other)| of == setup && *other == outcome);
        match row {
            Some((_, names, _)) => names.push(name),
            None => rows.push((*setup, vec![name], outcome)),
        }
    }
    rows.sort_by_key(|(setup, ..)| *setup);
    for (setup, names, outcome) in rows {
        let Outcome {
            meanwhile,
            afterwards,
            spends,
            reuses,
            sign_ins,
            lost,
        } = outcome;
        println!(
            "| {setup} | {} | {meanwhile} | {afterwards} | {spends} | {reuses} | {} | {sign_ins} |",
            names.join("; "),
            u8::from(*lost),
        );
    }
    let sum = |of: fn(&Outcome) -> u64| cases.iter().map(|case| of(&case.outcome)).sum::<u64>();
    println!(
        "| all | {} cases | | | {} | {} | {} | {} |",
        cases.len(),
        sum(|outcome| outcome.spends),
        sum(|outcome| outcome.reuses),
        sum(|outcome| outcome.lost.into()),
        sum(|outcome| outcome.sign_ins),
    );
}
