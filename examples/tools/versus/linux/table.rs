//! Rounds in alternating order, and a table of their results in Markdown.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};

use crate::failure::{Context as _, Failure, Result, tell};

/// What is measured.
pub(crate) struct Column {
    name: &'static str,
    digits: usize,
    shown: Shown,
}

#[derive(Clone, Copy, PartialEq)]
enum Shown {
    /// The median.
    Plain,
    /// The median, then the ratio to the first row with its spread.
    Compared,
    /// The median with its spread.
    Spread,
}

impl Column {
    pub(crate) const fn compared(name: &'static str, digits: usize) -> Self {
        Self { name, digits, shown: Shown::Compared }
    }

    pub(crate) const fn plain(name: &'static str, digits: usize) -> Self {
        Self { name, digits, shown: Shown::Plain }
    }

    pub(crate) const fn spread(name: &'static str, digits: usize) -> Self {
        Self { name, digits, shown: Shown::Spread }
    }
}

/// One of the compared servers, and its results: for each round a number for each column, NaN where there is none.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) rounds: Vec<Vec<f64>>,
}

impl Row {
    /// The results of all rounds in one column.
    pub(crate) fn column(&self, index: usize) -> Vec<f64> {
        self.rounds.iter().map(|round| round[index]).collect()
    }
}

/// Measures each of `names` once in every round: A B C, C B A, A B C, and so on.
pub(crate) fn compare(
    title: &str,
    rounds: u32,
    names: &[&str],
    mut measure: impl FnMut(usize) -> Result<Vec<f64>>,
) -> Result<Vec<Row>> {
    let mut rows: Vec<_> = names.iter().map(|name| Row { name: (*name).to_owned(), rounds: Vec::new() }).collect();
    for round in 0..rounds {
        tell(format_args!("{title}: round {} of {rounds}", round + 1));
        for step in 0..names.len() {
            let index = if round % 2 == 0 { step } else { names.len() - 1 - step };
            rows[index].rounds.push(measure(index)?);
        }
    }
    Ok(rows)
}

pub(crate) fn print(title: &str, columns: &[Column], rows: &[Row]) -> Result<()> {
    let mut lines = vec![vec![String::new()]];
    for column in columns {
        lines[0].push(column.name.to_owned());
        if column.shown == Shown::Compared {
            lines[0].push("ratio".to_owned());
        }
    }
    for row in rows {
        let mut line = vec![row.name.clone()];
        for (index, column) in columns.iter().enumerate() {
            let values = row.column(index);
            if column.shown == Shown::Spread {
                line.push(spread(values, column.digits));
                continue;
            }
            let value = median(values);
            line.push(if value.is_nan() { String::new() } else { format!("{value:.*}", column.digits) });
            if column.shown == Shown::Compared {
                line.push(ratio(row, &rows[0], index));
            }
        }
        lines.push(line);
    }
    say(&format!("\n### {title}\n\n{}", markdown(&lines)))
}

/// The ratio to the first row in each round: its median, and the lowest and highest.
fn ratio(row: &Row, first: &Row, column: usize) -> String {
    if std::ptr::eq(row, first) {
        return "1".to_owned();
    }
    let rounds = row.rounds.iter().zip(&first.rounds);
    spread(rounds.map(|(own, first)| own[column] / first[column]).collect(), 2)
}

/// The median, and the lowest and highest of several.
fn spread(values: Vec<f64>, digits: usize) -> String {
    let (lowest, highest) = range(&values);
    match values[..] {
        [only] => format!("{only:.digits$}"),
        _ => format!("{:.digits$} ({lowest:.digits$}–{highest:.digits$})", median(values)),
    }
}

/// The lowest and the highest.
pub(crate) fn range(values: &[f64]) -> (f64, f64) {
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = values.iter().copied().fold(0.0, f64::max);
    (lowest, highest)
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// Columns of equal width, so that it reads well in a terminal too.
fn markdown(lines: &[Vec<String>]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..lines[0].len()).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (index, (cell, width)) in line.iter().zip(&widths).enumerate() {
            // Writing to a string cannot fail.
            let _ = if index == 0 { write!(text, "| {cell:<width$} ") } else { write!(text, "| {cell:>width$} ") };
        }
        text.push_str("|\n");
        if number == 0 {
            for (index, width) in widths.iter().enumerate() {
                let end = if index == 0 { "-" } else { ":" };
                let _ = write!(text, "|{}{end}", "-".repeat(width + 1));
            }
            text.push_str("|\n");
        }
    }
    text
}

/// Writes a line to standard output; progress and errors go to standard error.
pub(crate) fn say(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::ReaderLeft),
        result => result.context("cannot write to standard output"),
    }
}
