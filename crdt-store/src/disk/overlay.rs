//! A backend on which a database can be opened, repaired and closed without being changed, or not before it is known.
//!
//! redb writes on opening: it marks the file as open, and repairs what a kill has left. Its check of a damaged file
//! falls back to an older commit, on disk, for good. Whoever only wants to know must not have that, and nobody may have
//! it done to a store of another format. So what is written stays in memory, a page at a time. Where that is meant to
//! last ([`Overlay::keeping`]), this is all. Where it is not ([`Overlay::holding`]), every operation is noted as well,
//! and [`Overlay::release`] carries them out below, in order and with their syncs: the disk sees what it would have
//! seen, a little later, so a crash in the middle is one in the middle of redb's own opening.
//!
//! Why not look first and open then? That opens the file twice, and a look that is given up has a database to drop,
//! which redb ends with a commit in memory; on damaged pages that it does not check first, this may end the process.
//!
//! Memory: what redb writes on opening, once as pages and once as operations, until the release. That is its header, up
//! to five times: 320 bytes for a file that was closed and 640 for one that a kill has left, 1,280 and 1,600 where the
//! file is checked whole (`disk/tests/held.rs` prints it). What redb knows of free pages it makes anew in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::{Bound, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::fault::Fault;

const PAGE_BYTES: usize = 4096;

type Page = Box<[u8; PAGE_BYTES]>;

/// A backend below, what was written to it above. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Overlay {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    below: Box<dyn StorageBackend>,
    /// Set for good by the release: all is below from then on.
    is_released: AtomicBool,
    /// Nobody else sees what is written here, so nobody else needs to be kept off.
    is_private: bool,
    held: Mutex<Held>,
}

/// What was written, as it is read back.
#[derive(Debug)]
struct Held {
    len: u64,
    /// How much of what is below still counts: less than there is, once the length was less.
    below_len: u64,
    /// By number; each is whole.
    pages: BTreeMap<u64, Page>,
    /// In order; stays empty where nothing is ever released.
    operations: Vec<Operation>,
}

#[derive(Debug)]
enum Operation {
    Write { offset: u64, data: Vec<u8> },
    SetLen(u64),
    Sync,
}

impl Overlay {
    /// Keeps all that is written to itself, for good. The file may be open for reading only, and locked by others.
    pub(super) fn keeping(file: File) -> Result<Self, Fault> {
        Ok(Self::new(Box::new(FileBackend::new(file)?), true)?)
    }

    /// Holds what is written until it is released.
    pub(super) fn holding(backend: impl StorageBackend) -> io::Result<Self> {
        Self::new(Box::new(backend), false)
    }

    fn new(below: Box<dyn StorageBackend>, is_private: bool) -> io::Result<Self> {
        let len = below.len()?;
        let held = Mutex::new(Held { len, below_len: len, pages: BTreeMap::new(), operations: Vec::new() });
        Ok(Self { inner: Arc::new(Inner { below, is_released: AtomicBool::new(false), is_private, held }) })
    }

    /// Carries out what was held, and from then on everything at once. Does nothing to one that keeps.
    ///
    /// # Errors
    /// Those of the backend, which is then as after a crash; nothing passes through.
    pub(super) fn release(&self) -> io::Result<()> {
        if self.inner.is_private {
            return Ok(());
        }
        let Some(mut held) = self.held() else { return Ok(()) };
        let below = &self.inner.below;
        for operation in std::mem::take(&mut held.operations) {
            match operation {
                Operation::Write { offset, data } => below.write(offset, &data)?,
                Operation::SetLen(len) => below.set_len(len)?,
                Operation::Sync => below.sync_data()?,
            }
        }
        held.pages.clear();
        self.inner.is_released.store(true, Ordering::Release);
        Ok(())
    }

    /// Returns what is held; `None` once it is released.
    fn held(&self) -> Option<MutexGuard<'_, Held>> {
        let is_released = || self.inner.is_released.load(Ordering::Acquire);
        if is_released() {
            return None;
        }
        let held = self.inner.held.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have been released while this waited.
        if is_released() { None } else { Some(held) }
    }

    /// Notes what is to be done below later.
    fn note(&self, held: &mut Held, operation: impl FnOnce() -> Operation) {
        if !self.inner.is_private {
            held.operations.push(operation());
        }
    }
}

impl Held {
    fn read(&self, below: &dyn StorageBackend, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(out.len() as u64).filter(|end| *end <= self.len);
        let end = end.ok_or(ErrorKind::UnexpectedEof)?;
        let numbers = offset / PAGE_BYTES as u64..end.div_ceil(PAGE_BYTES as u64);
        if end <= self.below_len && self.pages.range(numbers).next().is_none() {
            return below.read(offset, out);
        }
        for (number, within, range) in pieces(offset, out.len()) {
            let length = range.len();
            match self.pages.get(&number) {
                Some(page) => out[range].copy_from_slice(&page[within..within + length]),
                None => out[range].copy_from_slice(&self.page(below, number)?[within..within + length]),
            }
        }
        Ok(())
    }

    /// Reads a page as it is below; zeros behind what counts of it.
    fn page(&self, below: &dyn StorageBackend, number: u64) -> io::Result<Page> {
        let mut page = Box::new([0; PAGE_BYTES]);
        let offset = number * PAGE_BYTES as u64;
        let count = self.below_len.saturating_sub(offset).min(PAGE_BYTES as u64) as usize;
        if count > 0 {
            below.read(offset, &mut page[..count])?;
        }
        Ok(page)
    }

    fn write(&mut self, below: &dyn StorageBackend, offset: u64, data: &[u8]) -> io::Result<()> {
        for (number, within, range) in pieces(offset, data.len()) {
            let mut page = match self.pages.remove(&number) {
                Some(page) => page,
                None => self.page(below, number)?,
            };
            page[within..within + range.len()].copy_from_slice(&data[range]);
            self.pages.insert(number, page);
        }
        Ok(())
    }

    /// What is cut off comes back as zeros.
    fn set_len(&mut self, len: u64) {
        self.len = len;
        self.below_len = self.below_len.min(len);
        self.pages.split_off(&len.div_ceil(PAGE_BYTES as u64));
        if let Some(page) = self.pages.get_mut(&(len / PAGE_BYTES as u64)) {
            page[(len % PAGE_BYTES as u64) as usize..].fill(0);
        }
    }
}

/// Returns the number of each page that a range touches, where in it, and where in the range.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
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

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        self.held().map_or_else(|| self.inner.below.len(), |held| Ok(held.len))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.held() {
            Some(held) => held.read(&*self.inner.below, offset, out),
            None => self.inner.below.read(offset, out),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let Some(mut held) = self.held() else { return self.inner.below.set_len(len) };
        self.note(&mut held, || Operation::SetLen(len));
        held.set_len(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let Some(mut held) = self.held() else { return self.inner.below.sync_data() };
        self.note(&mut held, || Operation::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let Some(mut held) = self.held() else { return self.inner.below.write(offset, data) };
        self.note(&mut held, || Operation::Write { offset, data: data.to_vec() });
        held.write(&*self.inner.below, offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.below.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        if self.inner.is_private { Ok(true) } else { self.inner.below.try_lock_range(start, end) }
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        if self.inner.is_private { Ok(true) } else { self.inner.below.try_lock_shared_range(start, end) }
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        if self.inner.is_private { Ok(()) } else { self.inner.below.lock_range(start, end) }
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        if self.inner.is_private { Ok(()) } else { self.inner.below.lock_shared_range(start, end) }
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        if self.inner.is_private { Ok(()) } else { self.inner.below.unlock_range(start, end) }
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        if self.inner.is_private { Ok(false) } else { self.inner.below.query_lock_range(start, end) }
    }
}
