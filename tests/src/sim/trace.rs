//! What has happened, for people as text and for comparison as a hash.
//!
//! Every entry goes into the hash, always; text is only made while somebody wants to read it. The hash
//! takes the bytes of messages, so two runs with one hash have said the same on every link.

use std::fmt::{self, Write as _};

use xxhash_rust::xxh3::Xxh3;

/// The record of one run.
pub struct Trace {
    hash: Xxh3,
    text: Option<String>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({:016x})", self.hash())
    }
}

/// Who stands in front of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nobody in particular.
    World,
    /// The host of this number.
    Host(usize),
}

/// Whether a trace keeps its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The hash alone.
    Hash,
    /// The text too.
    Text,
}

impl Trace {
    /// Starts an empty record.
    #[must_use]
    pub fn new(detail: Detail) -> Self {
        Self { hash: Xxh3::new(), text: (detail == Detail::Text).then(String::new) }
    }

    /// Notes that something happened. `content` goes into the hash; `text` is made only if it is kept.
    pub fn note(&mut self, at_ms: u64, who: Who, content: &[u8], text: impl FnOnce() -> String) {
        self.hash.update(&at_ms.to_le_bytes());
        let number = match who {
            Who::World => u64::MAX,
            Who::Host(number) => number as u64,
        };
        self.hash.update(&number.to_le_bytes());
        self.hash.update(&(content.len() as u64).to_le_bytes());
        self.hash.update(content);
        if let Some(kept) = &mut self.text {
            let name = match who {
                Who::World => "-".to_owned(),
                Who::Host(number) => host_name(number),
            };
            let (seconds, ms) = (at_ms / 1_000, at_ms % 1_000);
            writeln!(kept, "{seconds:>4}.{ms:03}  {name}  {}", text()).expect("a string takes everything");
        }
    }

    /// Returns the hash of all entries so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash.digest()
    }

    /// Returns the text, if it was kept.
    #[must_use]
    pub fn into_text(self) -> Option<String> {
        self.text
    }
}

/// Hosts are called A, B, C and so on.
#[must_use]
pub fn host_name(number: usize) -> String {
    char::from(b'A' + number as u8).to_string()
}
