//! A disk in memory that a test may read, alter, let fail, and ask how much was written.

use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use redb::{BackendError, StorageBackend};

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    written: Arc<AtomicU64>,
    /// How many writes and syncs succeed from here on.
    budget: Arc<AtomicU64>,
    is_limited: Arc<AtomicBool>,
    error: Option<ErrorKind>,
}

impl Disk {
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        Self { bytes: Arc::new(Mutex::new(bytes)), ..Self::default() }
    }

    /// Puts other bytes in the place of all there are.
    pub(crate) fn put(&self, bytes: Vec<u8>) {
        *self.held() = bytes;
    }

    /// Makes one that will fail in this way, once it is told when.
    pub(crate) fn failing_with(error: ErrorKind) -> Self {
        Self { error: Some(error), ..Self::default() }
    }

    pub(crate) fn fail_after(&self, writes: u64) {
        self.budget.store(writes, Ordering::SeqCst);
        self.is_limited.store(true, Ordering::SeqCst);
    }

    /// From here on everything succeeds again.
    pub(crate) fn mend(&self) {
        self.is_limited.store(false, Ordering::SeqCst);
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.held().clone()
    }

    /// Returns how many bytes have been written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }

    fn held(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().expect("whole")
    }

    fn spend(&self) -> io::Result<()> {
        let is_spent =
            self.budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
        match self.error {
            Some(error) if is_spent && self.is_limited.load(Ordering::SeqCst) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.held().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.held();
        let end = offset.checked_add(out.len() as u64).filter(|end| *end <= bytes.len() as u64);
        let end = end.ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(&bytes[offset as usize..end as usize]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.spend()?;
        self.held().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.spend()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.spend()?;
        self.written.fetch_add(data.len() as u64, Ordering::SeqCst);
        self.held()[offset as usize..][..data.len()].copy_from_slice(data);
        Ok(())
    }

    fn try_lock_range(&self, _start: Bound<u64>, _end: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn unlock_range(&self, _start: Bound<u64>, _end: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }
}
