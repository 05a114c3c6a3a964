//! A file that can be opened, repaired and closed as a database without being changed.
//!
//! redb writes on opening, and its check of a damaged file falls back to an older commit, on disk, for good. Whoever
//! only wants to know must not have that; so what is written stays in memory, a page at a time. It is little: the
//! check writes what it knows of free pages.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

const PAGE_BYTES: usize = 4096;

/// A file below, what was written to it above.
#[derive(Debug)]
pub(super) struct Overlay {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    len: u64,
    /// By number; each is whole.
    pages: BTreeMap<u64, Box<[u8; PAGE_BYTES]>>,
}

impl Overlay {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { state: Mutex::new(State { file, len, pages: BTreeMap::new() }) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Reads a page as it is in the file; zeros behind its end.
    fn page(&mut self, number: u64) -> io::Result<Box<[u8; PAGE_BYTES]>> {
        let mut page = Box::new([0; PAGE_BYTES]);
        self.file.seek(SeekFrom::Start(number * PAGE_BYTES as u64))?;
        let mut filled = 0;
        while filled < PAGE_BYTES {
            match self.file.read(&mut page[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(page)
    }

    /// Calls `visit` with the number of each page that a range touches, where in it, and where in the range.
    fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            let at = offset + done as u64;
            let within = (at % PAGE_BYTES as u64) as usize;
            let count = (PAGE_BYTES - within).min(len - done);
            let range = done..done + count;
            done += count;
            (count > 0).then_some((at / PAGE_BYTES as u64, within, range))
        })
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > state.len) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        for (number, within, range) in State::pieces(offset, out.len()) {
            let length = range.len();
            match state.pages.get(&number) {
                Some(page) => out[range].copy_from_slice(&page[within..within + length]),
                None => out[range].copy_from_slice(&state.page(number)?[within..within + length]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        if len < state.len {
            // What comes back later is zeros. No check shrinks a file by less than a page.
            let pages = len.div_ceil(PAGE_BYTES as u64)..state.len.div_ceil(PAGE_BYTES as u64);
            pages.for_each(|number| drop(state.pages.insert(number, Box::new([0; PAGE_BYTES]))));
        }
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        for (number, within, range) in State::pieces(offset, data.len()) {
            if !state.pages.contains_key(&number) {
                let page = state.page(number)?;
                state.pages.insert(number, page);
            }
            if let Some(page) = state.pages.get_mut(&number) {
                page[within..within + range.len()].copy_from_slice(&data[range]);
            }
        }
        Ok(())
    }

    // Nobody else sees what is written here.
    fn try_lock_range(&self, _start: Bound<u64>, _end: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn unlock_range(&self, _start: Bound<u64>, _end: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }
}
