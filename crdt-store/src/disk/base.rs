//! The redb database under a store, behind a gate that closes at the first failure.
//!
//! How is nothing written after a failure, when redb itself writes once more on being dropped? All its writes pass
//! through a backend of ours, [`Gated`], which refuses them from the first fault on. The file is then as after a
//! crash, from which redb recovers when it is opened again. Nor does redb try: see [`Base::drop`].

use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{
    BackendError, Builder, Database, Durability, ReadTransaction, ReadableDatabase, RepairSession, StorageBackend,
    WriteTransaction,
};
use tracing::error;

use super::fault::{Fault, guarded};

/// An open database, and whether it has failed.
#[derive(Debug)]
pub(super) struct Base {
    /// `None` only while it is dropped.
    database: Option<Database>,
    has_failed: Arc<AtomicBool>,
}

impl Base {
    /// Opens the database on a backend, or makes one if that is empty.
    ///
    /// A file of at most `check_bytes_max` is checked whole first. Damage in the pages in which redb keeps its own
    /// books is otherwise found by a write, and there redb may panic while a panic unwinds, which ends the process.
    pub(super) fn open(backend: impl StorageBackend, cache_bytes: usize, check_bytes_max: u64) -> Result<Self, Fault> {
        let is_checked = backend.len()? <= check_bytes_max;
        let has_failed = Arc::new(AtomicBool::new(false));
        let gated = Gated { inner: Box::new(backend), has_failed: Arc::clone(&has_failed) };
        let open = || {
            let mut builder = Builder::new();
            builder.set_cache_size(cache_bytes).set_check_integrity_on_open(is_checked);
            builder.set_repair_callback(refuse_older_commit);
            Ok(builder.create_with_backend(gated)?)
        };
        let database = guarded(open).inspect_err(|_| has_failed.store(true, Ordering::Release))?;
        Ok(Self { database: Some(database), has_failed })
    }

    /// Reads at one moment. A fault ends the store.
    pub(super) fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, Fault>) -> Result<T, Fault> {
        self.attempt(|database| read(&database.begin_read()?))
    }

    /// Opens a reader that may outlive this call, and the writes after it.
    pub(super) fn reader(&self) -> Result<ReadTransaction, Fault> {
        self.attempt(|database| Ok(database.begin_read()?))
    }

    /// Writes all of it or nothing, durable on return. A fault ends the store.
    pub(super) fn write<T>(&self, write: impl FnOnce(&WriteTransaction) -> Result<T, Fault>) -> Result<T, Fault> {
        self.attempt(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            // The commit slot is on disk before the byte that makes it count: a crash, or a page that lies, cannot
            // leave half a commit that looks whole.
            transaction.set_two_phase_commit(true);
            // The free pages are written with each commit, so that opening after a kill does not read the whole file.
            transaction.set_quick_repair(true);
            let outcome = write(&transaction)?;
            transaction.commit()?;
            Ok(outcome)
        })
    }

    /// Gives free pages back to the file system. Tells whether anything moved.
    pub(super) fn compact(&mut self) -> Result<bool, Fault> {
        self.attempt_mut(|database| Ok(database.compact()?))
    }

    /// Closes the database, and says if that failed.
    pub(super) fn close(mut self) -> Result<(), Fault> {
        if self.has_failed() {
            return Err(Fault::Poisoned);
        }
        match self.database.take() {
            Some(database) => guarded(|| Ok(database.close()?)),
            None => Ok(()),
        }
    }

    /// Ends the store: nothing is written any more.
    pub(super) fn fail(&self, fault: &Fault) {
        if !self.has_failed.swap(true, Ordering::AcqRel) {
            error!(%fault, "the store has failed and takes nothing more");
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    fn attempt<T>(&self, call: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T, Fault> {
        match &self.database {
            Some(database) if !self.has_failed() => guarded(|| call(database)).inspect_err(|fault| self.fail(fault)),
            _ => Err(Fault::Poisoned),
        }
    }

    fn attempt_mut<T>(&mut self, call: impl FnOnce(&mut Database) -> Result<T, Fault>) -> Result<T, Fault> {
        let has_failed = self.has_failed();
        let outcome = match &mut self.database {
            Some(database) if !has_failed => guarded(|| call(database)),
            _ => Err(Fault::Poisoned),
        };
        outcome.inspect_err(|fault| {
            if !matches!(fault, Fault::Busy) {
                self.fail(fault);
            }
        })
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let database = self.database.take();
        if self.has_failed() {
            return abandon(database);
        }
        let closed = guarded(|| {
            drop(database);
            Ok(())
        });
        if let Err(fault) = closed {
            self.fail(&fault);
        }
    }
}

/// Drops the database of a store that has failed, without the commit with which redb closes.
///
/// The gate would stop that commit in any case. On the way there redb may panic at the damage that brought the store
/// down, and once more while that unwinds, which ends the process. But while something unwinds, redb lets go of the
/// file and does no more.
fn abandon(database: Option<Database>) {
    if cfg!(panic = "abort") || std::thread::panicking() {
        return drop(database);
    }
    let unwinding = || {
        let _database = database;
        // No panic hook is called: nothing is wrong here.
        resume_unwind(Box::new("a failed store is dropped"));
    };
    // Unwind safe because the database is gone then.
    let _ = catch_unwind(AssertUnwindSafe(unwinding));
}

/// Ends a repair that would go on with the commit before the last: that one is durable, so if it cannot be read, the
/// file is damaged. redb tries it only where the header denies that commits have two phases, which is damage too.
fn refuse_older_commit(repair: &mut RepairSession) {
    // The steps are at 0.0, at 0.3 if the last commit does not verify, at 0.6 and 0.9.
    if (0.1..0.6).contains(&repair.progress()) {
        repair.abort();
    }
}

/// A backend that takes no more writes once the store has failed.
#[derive(Debug)]
struct Gated {
    inner: Box<dyn StorageBackend>,
    has_failed: Arc<AtomicBool>,
}

impl Gated {
    fn pass(&self) -> io::Result<()> {
        if self.has_failed.load(Ordering::Acquire) { Err(io::Error::other("the store has failed")) } else { Ok(()) }
    }
}

impl StorageBackend for Gated {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.pass()?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.pass()?;
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.pass()?;
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
