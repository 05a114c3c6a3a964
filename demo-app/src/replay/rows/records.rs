//! Hands a CSV parser one record at a time, so that the line of each is known.
//!
//! Why not ask the parser? It counts line ends as it meets them, and meets the second half of CRLF
//! and blank lines only on the way to the next record; its lines are then one or more too low.
//! Here the parser gets no byte of a record before it has used up the one before, so the record it
//! returns is the one handed out last. On the way, a record's length is limited and a quote that is
//! never closed is noticed, which the parser would take for the end of the field.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use super::ROW_BYTES_MAX;

/// Why a record cannot be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum RecordFault {
    #[error("the record is longer than {ROW_BYTES_MAX} bytes")]
    TooLong,
    #[error("the file ends within quotes")]
    QuoteOpen,
}

/// Where the record handed out last begins.
#[derive(Clone, Debug, Default)]
pub(super) struct Place(Arc<(AtomicU64, AtomicU64)>);

impl Place {
    /// Returns the line; the first is 1.
    pub(super) fn line(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    /// Returns the offset in bytes.
    pub(super) fn byte(&self) -> u64 {
        self.0.1.load(Ordering::Relaxed)
    }

    fn set(&self, line: u64, byte: u64) {
        self.0.0.store(line, Ordering::Relaxed);
        self.0.1.store(byte, Ordering::Relaxed);
    }
}

/// A reader that never returns bytes of two records at once.
pub(super) struct Records<R> {
    inner: R,
    record: Vec<u8>,
    given: usize,
    lines: u64,
    bytes: u64,
    place: Place,
}

impl<R: BufRead> Records<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, record: Vec::new(), given: 0, lines: 0, bytes: 0, place: Place::default() }
    }

    /// Returns the place, which moves on as records are handed out.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Reads the next record, or nothing at the end.
    fn fill(&mut self) -> io::Result<()> {
        self.place.set(self.lines + 1, self.bytes);
        self.record.clear();
        self.given = 0;
        let mut field = Field::Start;
        loop {
            let start = self.record.len();
            let room = ROW_BYTES_MAX - start as u64;
            if room == 0 {
                return Err(io::Error::other(RecordFault::TooLong));
            }
            let read = self.inner.by_ref().take(room).read_until(b'\n', &mut self.record)?;
            self.bytes += read as u64;
            let line_ends = self.record.ends_with(b"\n");
            self.lines += u64::from(line_ends && read > 0);
            field = self.record[start..].iter().fold(field, |field, byte| field.next(*byte));
            match (field, read) {
                (Field::Quoted, 0) => return Err(io::Error::other(RecordFault::QuoteOpen)),
                (_, 0) => return Ok(()),
                (Field::Quoted, _) => {}
                _ if line_ends => return Ok(()),
                // The room was not enough, or the file ends here: the next round tells.
                _ => {}
            }
        }
    }
}

impl<R: BufRead> Read for Records<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.record.len() {
            self.fill()?;
        }
        let bytes = (&self.record[self.given..]).read(buffer)?;
        self.given += bytes;
        Ok(bytes)
    }
}

/// Where in a field a byte stands; a quote opens only at the start of one, as the parser has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Start,
    Bare,
    Quoted,
    /// Behind a quote within quotes: the end, or the first half of an escaped quote.
    Closing,
}

impl Field {
    const fn next(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Start | Self::Closing, b'"') => Self::Quoted,
            (Self::Quoted, b'"') => Self::Closing,
            (Self::Quoted, _) => Self::Quoted,
            (_, b',' | b'\n' | b'\r') => Self::Start,
            _ => Self::Bare,
        }
    }
}
