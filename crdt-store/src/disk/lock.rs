//! One process at a time, and the second learns who the first is.
//!
//! Why is the lock a file of its own, never removed? The system frees it with the last breath of its holder, so that
//! nothing stale has to be judged; and a lock on a file that may be removed or replaced is a lock on nothing. Its
//! text, a process id and a line of the holder's, is for people and may be a moment old.
//!
//! What does the second learn who comes between the lock and the text of the first? It looks again for a moment. An
//! empty file is that moment, or the one in which a holder goes; so the lock is tried again as well.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::error::Holder;
use super::files;

/// Longer announcements are cut off.
const NOTE_CHARS_MAX: usize = 512;

/// No more of the file is read: the longest announcement, and a number before it.
const TEXT_BYTES_MAX: u64 = 4 * NOTE_CHARS_MAX as u64 + 32;

/// For how long a holder that has not said who it is is waited for. Saying it takes one small write.
const LOOK: Duration = Duration::from_millis(100);

/// How long to wait between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

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
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => {
                    let lock = Self { file };
                    lock.announce(None)?;
                    return Ok(Attempt::Taken(lock));
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
            match read(&mut file) {
                Ok(text) if text.is_empty() && started.elapsed() < LOOK => thread::sleep(LOOK_AGAIN),
                Ok(text) => return Ok(Attempt::HeldBy(parse(&text))),
                // Where locks are mandatory it cannot be read, now or later.
                Err(_) => return Ok(Attempt::HeldBy(Holder::default())),
            }
        }
    }

    /// Writes who holds the lock, and how to reach it. Whoever reads meanwhile finds the text before or this one, whose
    /// two lines come before what may be left of a longer one.
    pub(super) fn announce(&self, note: Option<&str>) -> io::Result<()> {
        let line = note.unwrap_or_default().chars().filter(|char| !char.is_control());
        let note: String = line.take(NOTE_CHARS_MAX).collect();
        let text = format!("{}\n{note}\n", std::process::id());
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Nobody holds it from here on. What cannot be said is merely not said.
        let _ = self.file.set_len(0);
    }
}

fn read(file: &mut File) -> io::Result<String> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    Read::by_ref(file).take(TEXT_BYTES_MAX).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn parse(text: &str) -> Holder {
    let mut lines = text.lines();
    let pid = lines.next().and_then(|line| line.parse().ok());
    let note = lines.next().filter(|line| !line.is_empty()).map(str::to_owned);
    Holder { pid, note }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn hold(path: &Path) -> Lock {
        match Lock::attempt(path).expect("a folder that can be written to") {
            Attempt::Taken(lock) => lock,
            Attempt::HeldBy(holder) => panic!("held by {holder}"),
        }
    }

    /// Takes the lock as a process does that has not come to announcing itself.
    fn hold_silently(path: &Path) -> Lock {
        let file = files::private().create(true).truncate(false).open(path).expect("a folder that can be written to");
        file.try_lock().expect("free");
        Lock { file }
    }

    #[test]
    fn a_holder_that_has_not_said_who_it_is_yet_is_waited_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lock");
        let lock = hold_silently(&path);
        let loser = thread::scope(|scope| {
            let loser = scope.spawn(|| Lock::attempt(&path).expect("reads"));
            thread::sleep(LOOK / 5);
            lock.announce(Some("there")).expect("writes");
            loser.join().expect("no panic")
        });
        let Attempt::HeldBy(holder) = loser else { panic!("two holders") };
        assert_eq!(holder, Holder { pid: Some(std::process::id()), note: Some("there".to_owned()) });
    }

    #[test]
    fn a_holder_that_never_says_who_it_is_is_not_waited_for_longer_than_a_moment() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lock");
        let _lock = hold_silently(&path);
        let started = Instant::now();
        assert!(matches!(Lock::attempt(&path).expect("reads"), Attempt::HeldBy(holder) if holder == Holder::default()));
        assert!(started.elapsed() >= LOOK);
    }

    #[test]
    fn a_holder_that_goes_meanwhile_leaves_the_lock_to_whoever_looks_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lock");
        let lock = hold_silently(&path);
        thread::scope(|scope| {
            let next = scope.spawn(|| hold(&path));
            thread::sleep(LOOK / 5);
            drop(lock);
            next.join().expect("takes it");
        });
    }

    #[test]
    fn the_file_is_never_empty_between_two_announcements() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lock");
        let lock = hold(&path);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let long = "x".repeat(NOTE_CHARS_MAX);
                for round in 0..2_000 {
                    lock.announce((round % 2 == 0).then_some(long.as_str())).expect("writes");
                }
                is_over.store(true, Ordering::Relaxed);
            });
            while !is_over.load(Ordering::Relaxed) {
                let holder = parse(&std::fs::read_to_string(&path).expect("reads"));
                assert_eq!(holder.pid, Some(std::process::id()));
            }
        });
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), format!("{}\n\n", std::process::id()));
    }
}
