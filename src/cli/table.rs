//! Columns, aligned.

use std::io::{self, Write};

/// Writes a head and its rows with two blanks between columns, and none after the last.
pub(super) fn write<const N: usize>(output: &mut dyn Write, head: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let head = head.map(str::to_owned);
    let all = || std::iter::once(&head).chain(rows);
    let widths: [usize; N] =
        std::array::from_fn(|column| all().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for row in all() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        writeln!(output, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_one_another() {
        let mut output = Vec::new();
        let rows = [
            ["a".to_owned(), "länger".to_owned()],
            ["bbbbbb".to_owned(), String::new()],
        ];
        write(&mut output, ["ONE", "TWO"], &rows).unwrap();
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "ONE     TWO\na       länger\nbbbbbb\n"
        );
    }
}
