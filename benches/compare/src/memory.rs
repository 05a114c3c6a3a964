//! An allocator that counts, while it is told to, what is held.
//!
//! Counted is the chunk that glibc's allocator sets aside, not the size asked for: eight bytes of header, rounded up
//! to sixteen, at least 32. That is what a process grows by, and what small allocations really cost.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Off but in W6, so that no timing pays for the counting.
static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static HELD: AtomicI64 = AtomicI64::new(0);

struct Counting;

/// Returns the size of a chunk.
fn chunk(bytes: usize) -> i64 {
    ((bytes + 8).next_multiple_of(16)).max(32) as i64
}

fn count(bytes: i64) {
    if IS_COUNTING.load(Ordering::Relaxed) {
        HELD.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[expect(unsafe_code, reason = "an allocator cannot be had without; every call is handed on as it came")]
// SAFETY: all methods hand their arguments on to the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(chunk(layout.size()));
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-chunk(layout.size()));
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(chunk(layout.size()));
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(chunk(size) - chunk(layout.size()));
        // SAFETY: the caller's promise is the same.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Runs a closure; returns how many bytes are held more than before, with what it returned.
pub(crate) fn held_by<T>(work: impl FnOnce() -> T) -> (i64, T) {
    let before = HELD.load(Ordering::Relaxed);
    IS_COUNTING.store(true, Ordering::Relaxed);
    let result = work();
    IS_COUNTING.store(false, Ordering::Relaxed);
    (HELD.load(Ordering::Relaxed) - before, result)
}
