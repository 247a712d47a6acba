//! Asking a person at the terminal.

#[cfg_attr(not(unix), path = "ask/shown.rs")]
mod hidden;

use std::{
    fmt,
    io::{self, BufRead, IsTerminal, Write},
};

use secrecy::{ExposeSecret, SecretString};

use self::hidden::NoEcho;
use super::Failure;
use crate::credential::spec::Ask;

/// Control-C as a byte.
const INTERRUPT: u8 = 3;

/// Asks each question: of the person at the terminal, else of the lines of standard input.
pub(super) fn ask<'a>(questions: impl IntoIterator<Item = &'a Ask>) -> Result<Vec<(String, SecretString)>, Failure> {
    let input = io::stdin();
    let terminal = input.is_terminal();
    let mut input = input.lock();
    let mut prompts = io::stderr().lock();
    questions
        .into_iter()
        .map(|question| {
            let hidden = (terminal && question.secret).then(NoEcho::start).transpose();
            let hidden = hidden.map_err(|error| {
                Failure::Failed(format!(
                    "the terminal can't be told to hide what is typed ({error}); give the answers on standard input"
                ))
            })?;
            let answer = one(question, &mut input, terminal.then_some(&mut prompts as &mut dyn Write));
            drop(hidden);
            Ok((question.name.clone(), answer?))
        })
        .collect()
}

/// Asks one question. Without prompts, a line is simply read.
fn one(question: &Ask, input: &mut dyn BufRead, prompts: Option<&mut dyn Write>) -> Result<SecretString, Failure> {
    let mut prompts = prompts;
    if let Some(prompts) = &mut prompts {
        // The answer can be read even where the question can't be shown.
        let _ = write!(prompts, "{}: ", question.question).and_then(|()| prompts.flush());
    }
    let answer = read_line(input);
    if let Some(prompts) = &mut prompts
        && question.secret
    {
        // The typed line's own end was hidden too.
        let _ = writeln!(prompts);
    }
    let answer = answer?;
    if answer.expose_secret().is_empty() {
        return Err(Failure::Failed(format!(
            "no answer to '{}' ({}): type it, or give one line for each question on standard input",
            question.name, question.question
        )));
    }
    Ok(answer)
}

/// A line without its end, in memory that is wiped.
fn read_line(input: &mut dyn BufRead) -> Result<SecretString, Failure> {
    let failed = |error: &dyn fmt::Display| Failure::Failed(format!("the answer can't be read: {error}"));
    let mut line = zeroize::Zeroizing::new(Vec::new());
    loop {
        let read = input.fill_buf().map_err(|error| failed(&error))?;
        // A hidden line ends at Control-C too, without a line break.
        let end = read.iter().position(|byte| matches!(*byte, b'\n' | INTERRUPT));
        let taken = end.unwrap_or(read.len());
        line.extend_from_slice(&read[..taken]);
        let last = end.map(|end| read[end]);
        let is_over = read.is_empty() || last.is_some();
        input.consume(taken + usize::from(last.is_some()));
        if last == Some(INTERRUPT) {
            return Err(Failure::failed("interrupted"));
        }
        if is_over {
            break;
        }
    }
    let text = std::str::from_utf8(&line).map_err(|_| failed(&"it is not UTF-8 text"))?;
    Ok(text.strip_suffix('\r').unwrap_or(text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(secret: bool) -> Ask {
        Ask {
            name: "code".into(),
            question: "The code on the device".into(),
            secret,
        }
    }

    #[test]
    fn a_line_is_an_answer_and_its_end_is_not() {
        let mut input: &[u8] = b"12 34 \r\npass=w\xc3\xb6rd";
        let mut prompts = Vec::new();
        let first = one(&question(false), &mut input, Some(&mut prompts)).unwrap();
        assert_eq!(first.expose_secret(), "12 34 ");
        let second = one(&question(true), &mut input, None).unwrap();
        assert_eq!(second.expose_secret(), "pass=wörd");
        assert_eq!(String::from_utf8(prompts).unwrap(), "The code on the device: ");
    }

    #[test]
    fn no_answer_is_a_failure_that_names_the_question() {
        for said in [&b""[..], b"\n"] {
            let mut input = said;
            let failure = one(&question(false), &mut input, None).unwrap_err();
            assert!(
                failure.to_string().contains("'code' (The code on the device)"),
                "{failure}"
            );
        }
        let mut input: &[u8] = b"half\x03more";
        let failure = one(&question(true), &mut input, None).unwrap_err();
        assert_eq!(failure.to_string(), "interrupted");
        let failure = one(&question(true), &mut &b"\xff\n"[..], None).unwrap_err();
        assert!(failure.to_string().contains("UTF-8"), "{failure}");
    }
}
