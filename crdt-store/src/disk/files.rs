//! Files and folders that appear whole or not at all, and that only their owner can read.
//!
//! A new file is written under another name, synced, and renamed; then the folder is synced, because a name is data of
//! the folder. A crash leaves the old state, the new one, or a temporary file that the next opening removes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What tells one file from another on one machine, as long as it lives.
///
/// Not the number of its device, which changes with the order in which disks are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileMark {
    /// 0 where the system has none.
    pub(super) inode: u64,
    /// In nanoseconds since 1970; 0 where the system does not say.
    pub(super) created_ns: u64,
}

impl FileMark {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        let created = metadata.created().ok().and_then(|created| created.duration_since(UNIX_EPOCH).ok());
        let created_ns = created.and_then(|created| created.as_nanos().try_into().ok()).unwrap_or(0);
        Ok(Self { inode, created_ns })
    }
}

/// Options to open a file for reading and writing; one that is created belongs to its owner alone.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a folder for its owner alone, and those it lies in, as far as they are missing.
///
/// Its name is durable on return. So each is synced into the one above before anything is made in it; and one that is
/// there is synced too, since whoever made it may have been killed before.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    let parent = parent(path);
    if path.is_dir() {
        return match sync_folder(&parent) {
            // Whoever may not look into a folder was given the one in it, made.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        };
    }
    make_folder(&parent)?;
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    sync_folder(&parent)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    // Elsewhere a folder cannot be opened as a file, and names are the system's business.
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// Returns the folder that a path lies in.
pub(super) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Removes a file that may not be there.
pub(super) fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives a synced temporary file its name, which nothing may have yet. After an error nothing has it, as far as it can
/// be taken away again.
pub(super) fn publish_new(temporary: &Path, path: &Path) -> io::Result<()> {
    // A link fails where a rename would overwrite. Some file systems have none; there we look first.
    match fs::hard_link(temporary, path) {
        // Best effort: the file is there, and an error would say that it is not.
        Ok(()) => drop(fs::remove_file(temporary)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
        Err(_) if path.try_exists()? => return Err(ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(temporary, path)?,
    }
    sync_folder(&parent(path)).inspect_err(|_| {
        // Best effort: the error that led here says more than another one would.
        let _ = fs::remove_file(path);
    })
}
