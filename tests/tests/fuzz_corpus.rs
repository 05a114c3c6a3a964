//! The fuzz targets on their stored inputs, and on a few thousand mutants of these.
//!
//! With `CRDT_FUZZ_SEED_CORPUS=1` the test `seeds_are_stored_as_they_are_made`, run alone, writes the seeds
//! anew into `tests/fuzz/corpus` (after a change of format, say) instead of comparing them.
//! `CRDT_FUZZ_MUTANTS` sets the number of mutants a target (default 2,000), `CRDT_LAW_SEED` the seed; a
//! failure prints it with the input. Whatever a fuzzer finds goes into `tests/fuzz/regressions` under a
//! name that says what happened.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use crdt_tests::fuzz::{TARGETS, Target};
use crdt_tests::{Choices, law, mutate};

/// Mutants a target unless `CRDT_FUZZ_MUTANTS` says otherwise.
const MUTANTS: usize = 2_000;
/// A stored input, in bytes. A longer one is a fuzzer's to explore, not a repository's to keep.
const FILE_BYTES_MAX: usize = 4 << 10;
/// Inputs in one folder.
const FILES_MAX: usize = 100;
/// All stored inputs together, in bytes.
const CORPUS_BYTES_MAX: usize = 300 << 10;

fn folder(kind: &str, target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target.name)
}

/// The files of a folder by name; none if there is no folder.
fn stored(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("a readable file"))).collect()
}

fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let files = stored(&folder("corpus", target));
    assert!(!files.is_empty(), "{}: no stored inputs", target.name);
    files
}

/// Runs a body; prints the input if it fails.
fn run(target: &Target, bytes: &[u8], origin: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.body)(bytes))) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("{}, {origin}:\n{hex}", target.name);
        resume_unwind(panic);
    }
}

#[test]
fn seeds_are_stored_as_they_are_made() {
    let renew = law::from_env::<u8>("CRDT_FUZZ_SEED_CORPUS") == Some(1);
    for target in TARGETS {
        let folder = folder("corpus", &target);
        let is_seed = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("seed-"));
        let mut known = stored(&folder);
        known.retain(|(path, _)| is_seed(path));
        let made: Vec<(PathBuf, Vec<u8>)> = (target.seeds)()
            .into_iter()
            .enumerate()
            .map(|(number, bytes)| (folder.join(format!("seed-{number:02}")), bytes))
            .collect();
        if renew {
            fs::create_dir_all(&folder).expect("a writable folder");
            known.iter().for_each(|(path, _)| fs::remove_file(path).expect("a writable folder"));
            made.iter().for_each(|(path, bytes)| fs::write(path, bytes).expect("a writable folder"));
        } else {
            assert!(made == known, "{}: formats have changed? see the header", target.name);
        }
    }
}

#[test]
fn targets_hold_on_every_stored_input() {
    for target in TARGETS {
        for (path, bytes) in corpus(&target).into_iter().chain(stored(&folder("regressions", &target))) {
            run(&target, &bytes, &path.display().to_string());
        }
    }
}

#[test]
fn targets_hold_on_mutants_of_stored_inputs() {
    let seed = law::seed();
    let mutants = law::from_env("CRDT_FUZZ_MUTANTS").unwrap_or(MUTANTS);
    for target in TARGETS {
        let mut choices = Choices::new(seed);
        let corpus = corpus(&target);
        let donors: Vec<&[u8]> = corpus.iter().map(|(_, bytes)| &bytes[..]).collect();
        for case in 0..mutants {
            let mutant = mutate::wound(donors[choices.below(donors.len())], &donors, &mut choices);
            run(&target, &mutant, &format!("CRDT_LAW_SEED={seed}, case {case}"));
        }
    }
}

#[test]
fn the_stored_inputs_stay_small() {
    let mut bytes_in_all = 0;
    for target in TARGETS {
        let files = corpus(&target);
        assert!(files.len() <= FILES_MAX, "{}: {} files", target.name, files.len());
        for (path, bytes) in &files {
            assert!(bytes.len() <= FILE_BYTES_MAX, "{}: {} bytes", path.display(), bytes.len());
            bytes_in_all += bytes.len();
        }
    }
    assert!(bytes_in_all <= CORPUS_BYTES_MAX, "{bytes_in_all} bytes");
}
