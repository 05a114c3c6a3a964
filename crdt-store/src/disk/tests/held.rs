//! What redb writes on opening: held in memory until it is known that the store is one of ours, then done as redb would
//! have.

use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::BackendError;

use super::base::Base;
use super::*;

/// What a disk was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Done {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

/// A disk in memory that remembers what was written, and how often it was read.
#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Mutex<(Vec<u8>, Vec<Done>)>>, Arc<AtomicU64>);

impl Recorder {
    fn holding(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new((bytes, Vec::new()))), Arc::default())
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("whole").0.clone()
    }

    fn reads(&self) -> u64 {
        self.1.load(Ordering::SeqCst)
    }

    fn done(&self) -> Vec<Done> {
        self.0.lock().expect("whole").1.clone()
    }
}

impl StorageBackend for Recorder {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().expect("whole").0.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let bytes = &self.0.lock().expect("whole").0;
        let found = bytes.get(offset as usize..offset as usize + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (bytes, done) = &mut *self.0.lock().expect("whole");
        bytes.resize(len as usize, 0);
        done.push(Done::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.lock().expect("whole").1.push(Done::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (bytes, done) = &mut *self.0.lock().expect("whole");
        bytes[offset as usize..][..data.len()].copy_from_slice(data);
        done.push(Done::Write(offset, data.to_vec()));
        Ok(())
    }

    fn try_lock_range(&self, _start: Bound<u64>, _end: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn unlock_range(&self, _start: Bound<u64>, _end: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }
}

/// Makes a store, and returns its file as it is once closed, and as a kill leaves it.
fn images() -> [Vec<u8>; 2] {
    let disk = Recorder::default();
    let options = DiskOptions { tail_bytes_max: 512, ..DiskOptions::default() };
    let mut store = DiskStore::open_on(disk.clone(), options).expect("opens");
    let mut documents: Vec<Document> = (0..26).map(|_| Document::new(store.replica())).collect();
    for round in 0..120 {
        for (name, document) in documents.iter_mut().enumerate() {
            let mut edit = document.transact(1);
            edit.counter("n").add(round).expect("far from overflow");
            edit.register(&format!("r{}", round % 40)).set(format!("value {round}")).expect("short");
            let delta = edit.commit().expect("a change was made").delta;
            let _ = store.append(&format!("d{name}"), &Arc::new(delta)).expect("continues");
            if round == 60 {
                store.replace(&format!("d{name}"), document.snapshot()).expect("is staged");
            }
        }
        store.sync().expect("the disk takes it");
    }
    let killed = disk.bytes();
    drop(store);
    [disk.bytes(), killed]
}

/// A sequence that is the same in every run.
fn numbers(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |limit| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    }
}

#[test]
fn a_disk_sees_of_an_opening_what_redb_does_in_the_same_order_and_no_sooner() {
    for (image, check_bytes_max) in images().into_iter().flat_map(|image| [(image.clone(), 0), (image, u64::MAX)]) {
        let plain = Recorder::holding(image.clone());
        let direct = Base::open(plain.clone(), 1 << 20, check_bytes_max).expect("opens");
        let disk = Recorder::holding(image.clone());
        let overlay = Overlay::holding(disk.clone()).expect("has a length");
        let held = Base::open(overlay.clone(), 1 << 20, check_bytes_max).expect("opens");
        assert_eq!(disk.done(), []);
        overlay.release().expect("the disk takes it");
        let done = plain.done();
        assert!(disk.done() == done && !done.is_empty(), "{} operations", done.len());
        let written = done.iter().map(|done| if let Done::Write(_, data) = done { data.len() } else { 0 });
        let written = written.sum::<usize>();
        println!("a file of {} bytes, checked up to {check_bytes_max}: {written} bytes written", image.len());
        assert!(written < 4096, "redb writes more than its header: {written} bytes are held");
        // From here on each goes straight through, to the end.
        direct.close().expect("closes");
        held.close().expect("closes");
        assert!(disk.done() == plain.done() && disk.bytes() == plain.bytes() && done.len() < disk.done().len());
    }
}

#[test]
fn what_is_held_reads_as_if_it_were_on_the_disk_and_comes_there() {
    for seed in 0..40 {
        let mut below = numbers(seed);
        let model = Recorder::holding((0..30_000_u32).map(|byte| byte as u8).collect());
        let disk = Recorder::holding(model.bytes());
        let overlay = Overlay::holding(disk.clone()).expect("has a length");
        let release_at = below(200);
        for step in 0..200 {
            let len = model.len().expect("has a length");
            let disks: [&dyn StorageBackend; 2] = [&model, &overlay];
            match below(8) {
                0 => {
                    let len = below(50_000) + 1;
                    disks.iter().for_each(|disk| disk.set_len(len).expect("is taken"));
                }
                1 => disks.iter().for_each(|disk| disk.sync_data().expect("is taken")),
                _ => {
                    let (offset, byte) = (below(len), below(256) as u8);
                    let data = vec![byte; below((len - offset).min(9_000)) as usize];
                    disks.iter().for_each(|disk| disk.write(offset, &data).expect("is taken"));
                }
            }
            if step == release_at {
                overlay.release().expect("the disk takes it");
            }
            let mut read = vec![0; model.len().expect("has a length") as usize];
            assert_eq!(overlay.len().expect("has a length"), read.len() as u64, "seed {seed}, step {step}");
            overlay.read(0, &mut read).expect("reads");
            assert!(read == model.bytes(), "seed {seed}, step {step}");
            assert!(overlay.read(1, &mut read).is_err(), "there is nothing behind the end");
        }
        assert!(disk.bytes() == model.bytes() && disk.done() == model.done(), "seed {seed}");
    }
}

/// redb would close with a commit, and in books that are damaged panic on the way, and once more while that unwinds.
#[test]
fn a_store_that_has_failed_is_dropped_without_a_look_at_its_books() {
    // No page is in memory when the store is dropped.
    let options = DiskOptions { cache_bytes: 0, ..DiskOptions::default() };
    for image in images() {
        let disk = Recorder::holding(image);
        let store = DiskStore::open_on(disk.clone(), options.clone()).expect("opens");
        store.rows.fail(Fault::damaged("a test says so"));
        let before = (disk.reads(), disk.done());
        drop(store);
        assert!((disk.reads(), disk.done()) == before, "{} and then {}", before.0, disk.reads());
    }
}
