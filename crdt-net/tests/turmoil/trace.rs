//! The trace of a run: who did what when, in simulated time, line by line.
//!
//! What must be in it for equal traces to mean equal runs? Every read and write of every simulated
//! socket with its length, everything that crdt-net logs, every answer to a call, every event of a
//! watch. Not the bytes themselves: a WebSocket client masks what it sends with fresh randomness.

use std::fmt::{self, Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use xxhash_rust::xxh3::Xxh3;

/// How many lines on each side of the first difference are shown.
const LINES_AROUND: usize = 12;

/// The lines of one run. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Trace {
    shared: Arc<Mutex<Lines>>,
}

#[derive(Default)]
struct Lines {
    hash: Xxh3,
    lines: Vec<String>,
}

impl Trace {
    /// Adds a line. `who` names a host, or the network.
    ///
    /// Not to be called while a host is being torn down: turmoil has no time for it then.
    pub(crate) fn add(&self, who: &str, what: fmt::Arguments<'_>) {
        self.add_at(turmoil::sim_elapsed().expect("a host is running"), who, what);
    }

    /// Adds a line about something that happens from outside, between two steps.
    pub(crate) fn add_at(&self, at: Duration, who: &str, what: fmt::Arguments<'_>) {
        let line = format!("{:9.3}s {who:6} {what}\n", at.as_secs_f64());
        let mut lines = self.lock();
        lines.hash.update(line.as_bytes());
        lines.lines.push(line);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.lock().hash.digest()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().lines.len()
    }

    /// Counts the lines that contain `part`.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.lock().lines.iter().filter(|line| line.contains(part)).count()
    }

    /// Returns the last lines that contain any of `parts`.
    pub(crate) fn last_with(&self, count: usize, parts: &[&str]) -> String {
        let lines = self.lock();
        let mut found: Vec<_> = lines
            .lines
            .iter()
            .rev()
            .filter(|line| parts.iter().any(|part| line.contains(part)))
            .take(count)
            .map(String::as_str)
            .collect();
        found.reverse();
        found.concat()
    }

    /// Shows where two traces part; empty if they do not.
    pub(crate) fn first_difference(&self, other: &Self) -> String {
        let (ours, theirs) = (self.lock().lines.clone(), other.lock().lines.clone());
        let same = ours.iter().zip(&theirs).take_while(|(ours, theirs)| ours == theirs).count();
        if same == ours.len() && same == theirs.len() {
            return String::new();
        }
        let (from, around) = (same.saturating_sub(LINES_AROUND), 2 * LINES_AROUND);
        let show = |lines: &[String]| lines.iter().skip(from).take(around).map(String::as_str).collect::<String>();
        format!("first difference in line {same}\n-- once\n{}-- twice\n{}", show(&ours), show(&theirs))
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what crdt-net logs into a trace.
pub(crate) struct Recorder {
    trace: Trace,
    /// The host that runs now: turmoil runs each in a span that bears its name.
    host: Mutex<String>,
    span_next: AtomicU64,
}

impl Recorder {
    pub(crate) fn new(trace: Trace) -> Self {
        Self { trace, host: Mutex::default(), span_next: AtomicU64::new(1) }
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_host = metadata.is_span() && metadata.target().starts_with("turmoil") && metadata.name() == "node";
        is_host || (metadata.target().starts_with("crdt_net") && *metadata.level() <= Level::DEBUG)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        *self.host.lock().unwrap_or_else(PoisonError::into_inner) = fields.name;
        Id::from_u64(self.span_next.fetch_add(1, Ordering::Relaxed))
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        self.trace.add(&host, format_args!("{} {}{}", event.metadata().level(), fields.message, fields.others));
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// The fields of one event or span, as text.
#[derive(Default)]
struct Fields {
    name: String,
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "name" => value.clone_into(&mut self.name),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.others, " {name}={value:?}"),
        }
        .expect("a string takes everything");
    }
}
