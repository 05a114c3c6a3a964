//! The one place where the program writes to the terminal.
//!
//! Colours are always written and taken out again unless standard output is a terminal that wants
//! them (`NO_COLOR`, `TERM=dumb`), so no line of the commands has to ask. A reader that goes away
//! (`cart | head`) is not an accident in the middle of a story: the first failed write is kept,
//! the rest is dropped, and [`Ui::finish`] tells.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal, Stdout, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use serde::Serialize;

/// Parts of a story.
pub(crate) const HEADING: Style = Style::new().bold();

/// What went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();

/// What went wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Remarks.
pub(crate) const QUIET: Style = Style::new().dimmed();

/// Standard output.
pub(crate) struct Ui {
    out: AutoStream<Stdout>,
    failed: Option<io::Error>,
}

impl Ui {
    /// Opens standard output; colours only if it is a terminal that wants them.
    pub(crate) fn stdout() -> Self {
        let stdout = io::stdout();
        // Not even CLICOLOR_FORCE puts colours into a file.
        let choice = if stdout.is_terminal() { AutoStream::choice(&stdout) } else { ColorChoice::Never };
        Self { out: AutoStream::new(stdout, choice), failed: None }
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: impl Display) {
        if self.failed.is_none() {
            // Flushed line by line: the story is told as it happens.
            self.failed = writeln!(self.out, "{line}").and_then(|()| self.out.flush()).err();
        }
    }

    /// Writes an empty line and a heading.
    pub(crate) fn heading(&mut self, heading: impl Display) {
        self.line(format_args!("\n{}", styled(HEADING, heading)));
    }

    /// Writes a table, moved in by two.
    pub(crate) fn table(&mut self, mut table: Table) {
        // The stream decides about colours; the table would ask the terminal once more.
        table.enforce_styling();
        for line in table.lines() {
            self.line(format_args!("  {line}"));
        }
    }

    /// Writes one JSON object on one line.
    pub(crate) fn json(&mut self, object: &impl Serialize) {
        match serde_json::to_string(object) {
            Ok(line) => self.line(line),
            Err(error) => self.failed = self.failed.take().or(Some(error.into())),
        }
    }

    /// Returns the first write that failed.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

/// Starts a table with thin lines.
pub(crate) fn table<T: Display>(header: impl IntoIterator<Item = T>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(header.into_iter().map(|title| comfy_table::Cell::new(title)));
    table
}

/// Puts a style around a text.
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes an error and what caused it to standard error.
pub(crate) fn report_error(error: &dyn Error) {
    let mut causes = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        // A transparent error would say the same twice.
        if causes.last() != Some(&text) {
            causes.push(text);
        }
        next = error.source();
    }
    if error.source().is_some_and(is_broken_pipe) {
        return;
    }
    fail(causes.join(": "));
}

/// Writes one complaint to standard error.
pub(crate) fn fail(complaint: impl Display) {
    // Nobody is left to tell if standard error is gone too.
    let _ = writeln!(anstream::stderr(), "{} {complaint}", styled(BAD, "error:"));
}

/// Writes one remark to standard error.
pub(crate) fn note(remark: impl Display) {
    let _ = writeln!(anstream::stderr(), "{} {remark}", styled(QUIET, "note:"));
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
