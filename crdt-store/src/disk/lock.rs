//! One process at a time, and the second learns who the first is.
//!
//! Why is the lock a file of its own, never removed? The system frees it with the last breath of its holder, so that
//! nothing stale has to be judged; and a lock on a file that may be removed or replaced is a lock on nothing. Its
//! text, a process id and a line of the holder's, is for people and may be a moment old.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::error::Holder;
use super::files;

/// Longer announcements are cut off.
const NOTE_CHARS_MAX: usize = 512;

/// No more of the file is read: the longest announcement, and a number before it.
const TEXT_BYTES_MAX: u64 = 4 * NOTE_CHARS_MAX as u64 + 32;

/// The right to a store's folder, given up when dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

/// What became of an attempt to take the lock.
pub(super) enum Attempt {
    Taken(Lock),
    HeldBy(Holder),
}

impl Lock {
    pub(super) fn attempt(path: &Path) -> io::Result<Attempt> {
        let mut file = files::private().create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                let lock = Self { file };
                lock.announce(None)?;
                Ok(Attempt::Taken(lock))
            }
            Err(TryLockError::WouldBlock) => {
                // Where locks are mandatory it cannot be read either.
                let mut text = Vec::new();
                let _ = Read::by_ref(&mut file).take(TEXT_BYTES_MAX).read_to_end(&mut text);
                Ok(Attempt::HeldBy(parse(&String::from_utf8_lossy(&text))))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Writes who holds the lock, and how to reach it.
    pub(super) fn announce(&self, note: Option<&str>) -> io::Result<()> {
        let line = note.unwrap_or_default().chars().filter(|char| !char.is_control());
        let note: String = line.take(NOTE_CHARS_MAX).collect();
        let mut file = &self.file;
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(format!("{}\n{note}\n", std::process::id()).as_bytes())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Nobody holds it from here on. What cannot be said is merely not said.
        let _ = self.file.set_len(0);
    }
}

fn parse(text: &str) -> Holder {
    let mut lines = text.lines();
    let pid = lines.next().and_then(|line| line.parse().ok());
    let note = lines.next().filter(|line| !line.is_empty()).map(str::to_owned);
    Holder { pid, note }
}
