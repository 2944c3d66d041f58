//! A table of results in Markdown.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};

use super::foreign::FOREIGN_MAX;
use super::pairs::Quality;
use crate::failure::{Context as _, Failure, Result, tell};

/// Above this share of its core, in percent, the load generator was the bottleneck.
const LOAD_BUSY_MAX: f64 = 90.0;
/// The mark of a row whose load generator was the bottleneck.
const BOTTLENECK: &str = " *";

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
    /// The median, then the ratio to the floor with its spread.
    Compared,
    /// How busy the load generator was, in percent: the median, and a mark on the row if it was the bottleneck.
    Load,
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

    pub(crate) const fn load() -> Self {
        Self { name: "load busy %", digits: 0, shown: Shown::Load }
    }

    pub(crate) const fn spread(name: &'static str, digits: usize) -> Self {
        Self { name, digits, shown: Shown::Spread }
    }
}

/// One of the compared servers, and its results.
pub(crate) struct Row {
    pub(crate) name: String,
    /// For each run a number for each column, NaN where there is none.
    pub(crate) rounds: Vec<Vec<f64>>,
    /// For each run the ratio to the floor in each column; empty for the floor itself.
    pub(crate) ratios: Vec<Vec<f64>>,
    /// The quality of the pairs, if the runs were paired.
    pub(crate) pairs: Option<Quality>,
}

impl Row {
    pub(crate) fn unpaired(name: &str, rounds: Vec<Vec<f64>>) -> Self {
        Self { name: name.to_owned(), rounds, ratios: Vec::new(), pairs: None }
    }

    /// The results of all rounds in one column.
    pub(crate) fn column(&self, index: usize) -> Vec<f64> {
        self.rounds.iter().map(|round| round[index]).collect()
    }
}

/// Measures one server again and again.
pub(crate) fn repeat(
    title: &str,
    rounds: u32,
    name: &str,
    mut measure: impl FnMut() -> Result<Vec<f64>>,
) -> Result<Row> {
    let mut row = Row::unpaired(name, Vec::new());
    for round in 0..rounds {
        tell(format_args!("{title}: round {} of {rounds}", round + 1));
        row.rounds.push(measure()?);
    }
    Ok(row)
}

pub(crate) fn print(title: &str, columns: &[Column], rows: &[Row]) -> Result<()> {
    let are_paired = rows.iter().any(|row| row.pairs.is_some());
    let mut lines = vec![vec![String::new()]];
    for column in columns {
        lines[0].push(column.name.to_owned());
        if column.shown == Shown::Compared {
            lines[0].push("ratio".to_owned());
        }
    }
    if are_paired {
        lines[0].extend(["pairs", "dropped"].map(str::to_owned));
    }
    lines.extend(rows.iter().map(|row| line(row, columns, are_paired)));
    let mut text = format!("\n### {title}\n\n{}", markdown(&lines));
    for note in notes(columns, rows) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{note}\n");
    }
    say(text.trim_end())
}

fn line(row: &Row, columns: &[Column], are_paired: bool) -> Vec<String> {
    let mut line = vec![marked_name(row, columns)];
    for (index, column) in columns.iter().enumerate() {
        let values = row.column(index);
        if column.shown == Shown::Spread {
            line.push(spread(values, column.digits));
            continue;
        }
        let value = median(values);
        line.push(if value.is_nan() { String::new() } else { format!("{value:.*}", column.digits) });
        if column.shown == Shown::Compared {
            let ratios: Vec<_> = row.ratios.iter().map(|ratios| ratios[index]).collect();
            line.push(if ratios.is_empty() { "1".to_owned() } else { spread(ratios, 2) });
        }
    }
    if are_paired {
        let counts = row.pairs.map(|pairs| [pairs.used.to_string(), pairs.dropped.to_string()]);
        line.extend(counts.unwrap_or_default());
    }
    line
}

fn marked_name(row: &Row, columns: &[Column]) -> String {
    let mut name = row.name.clone();
    if row.pairs.is_some_and(|pairs| pairs.is_disturbed) {
        name.push_str(" (disturbed)");
    }
    if was_bottleneck(row, columns) {
        name.push_str(BOTTLENECK);
    }
    name
}

/// Whether the load generator was the bottleneck of this row.
fn was_bottleneck(row: &Row, columns: &[Column]) -> bool {
    let load = columns.iter().position(|column| column.shown == Shown::Load);
    load.is_some_and(|index| median(row.column(index)) > LOAD_BUSY_MAX)
}

/// What a reader must know before he uses the figures.
fn notes(columns: &[Column], rows: &[Row]) -> Vec<String> {
    let mut notes = Vec::new();
    if rows.iter().any(|row| was_bottleneck(row, columns)) {
        notes.push(format!(
            "\\* The load generator was the bottleneck: its core was more than {LOAD_BUSY_MAX:.0} % busy. Compare the CPU \
             time of these rows, not their rates."
        ));
    }
    if rows.iter().filter_map(|row| row.pairs).any(|pairs| pairs.is_disturbed) {
        notes.push(format!(
            "disturbed: other programs used more than {:.0} % of a core during too many runs, so disturbed runs were used.",
            FOREIGN_MAX * 100.0
        ));
    }
    notes
}

/// The median, and the lowest and highest of several.
pub(crate) fn spread(values: Vec<f64>, digits: usize) -> String {
    let values: Vec<_> = values.into_iter().filter(|value| !value.is_nan()).collect();
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

/// The median of those that are numbers; NaN without any.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.retain(|value| !value.is_nan());
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// Columns of equal width, so that it reads well in a terminal too.
pub(crate) fn markdown(lines: &[Vec<String>]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 2] = [Column::compared("CPU", 1), Column::load()];

    fn row(name: &str, load: f64, ratios: &[f64], pairs: Option<Quality>) -> Row {
        let ratios = ratios.iter().map(|ratio| vec![*ratio, 1.0]).collect();
        Row { name: name.to_owned(), rounds: vec![vec![5.0, load]; 3], ratios, pairs }
    }

    fn quality(is_disturbed: bool) -> Option<Quality> {
        Some(Quality { used: 3, dropped: 2, is_disturbed })
    }

    #[test]
    fn a_row_has_the_median_and_spread_of_its_ratios_and_the_dropped_pairs() {
        let line = line(&row("a", 50.0, &[1.2, 0.9, 1.1], quality(false)), &COLUMNS, true);
        assert_eq!(line, ["a", "5.0", "1.10 (0.90–1.20)", "50", "3", "2"]);
    }

    #[test]
    fn a_row_is_marked_and_explained_if_the_load_generator_was_the_bottleneck() {
        let rows = [row("floor", 90.0, &[], None), row("a", 97.0, &[1.0], quality(false))];
        assert_eq!(rows.each_ref().map(|row| marked_name(row, &COLUMNS)), ["floor", "a *"]);
        let [note] = &notes(&COLUMNS, &rows)[..] else { panic!("one note") };
        assert!(note.contains("The load generator was the bottleneck"), "{note}");
        assert_eq!(notes(&COLUMNS, &rows[..1]), [""; 0]);
    }

    #[test]
    fn a_row_of_disturbed_pairs_is_marked_and_explained() {
        let rows = [row("a", 50.0, &[1.0], quality(true))];
        assert_eq!(marked_name(&rows[0], &COLUMNS), "a (disturbed)");
        assert!(notes(&COLUMNS, &rows)[0].starts_with("disturbed: "));
    }
}
