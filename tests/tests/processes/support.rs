//! What the tests with processes have in common.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crdt_core::{ReplicaId, Snapshot, Value};
use crdt_store::{DiskOptions, DiskStore, Store};
use crdt_tests::process::{DOCUMENT, ELEMENTS, Process};
use crdt_tests::sim::folded;

/// The program.
pub(crate) const REPLICA: &str = env!("CARGO_BIN_EXE_replica");

pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Process {
    Process::start(REPLICA, folder, arguments)
}

/// A folder of this test's own, which is empty and does not outlive it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("the target folder can be written to");
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// Copies a closed store as a person would: every file in the folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the target folder can be written to");
    for file in std::fs::read_dir(from).expect("it was just written") {
        let file = file.expect("it was just written");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("it can be read");
    }
}

/// What a store holds, looked at while nobody has it open.
pub(crate) struct Found {
    pub(crate) replica: ReplicaId,
    pub(crate) is_renewed: bool,
    pub(crate) document: Snapshot,
}

pub(crate) fn look(folder: &Path) -> Found {
    look_at(folder, DOCUMENT)
}

pub(crate) fn look_at(folder: &Path, document: &str) -> Found {
    let store = DiskStore::open(folder, DiskOptions::default()).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let stored = store.load(document).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let document = stored.map_or_else(Snapshot::empty, |stored| folded(stored.snapshot, &stored.deltas));
    Found { replica: store.replica(), is_renewed: store.identity().renewed.is_some(), document }
}

impl Found {
    pub(crate) fn holds(&self, element: &str) -> bool {
        self.document.root().set(ELEMENTS).is_some_and(|set| set.contains(&Value::from(element)))
    }

    pub(crate) fn elements(&self) -> BTreeSet<Value> {
        self.document.root().set(ELEMENTS).map(|set| set.values().into_iter().cloned().collect()).unwrap_or_default()
    }
}

/// Returns what a process has said is durable.
pub(crate) fn acked(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.strip_prefix("acked ")).collect()
}
