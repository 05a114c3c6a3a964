//! Writes carts to a file for other programs: one JSON object a line, sorted, zeros left out.
//!
//! What if the disk fills half-way? The lines go to a file beside the target, which takes its place
//! only when complete: an earlier export stays whole until then.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use crate::replay::fold::Items;

/// The export could not be written; an earlier file of that name is as it was.
#[derive(Debug, Error)]
#[error("{} cannot be written", path.display())]
pub struct ExportError {
    /// The file asked for.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    cart: &'a str,
    items: BTreeMap<&'a str, i128>,
}

/// Checks that a file can be made at `path`, so that an error comes before the work and not after.
///
/// # Errors
/// [`ExportError`] if `path` is a folder or its folder does not exist.
pub(crate) fn check(path: &Path) -> Result<(), ExportError> {
    let failed = |kind: io::ErrorKind| Err(ExportError { path: path.to_owned(), source: kind.into() });
    if path.is_dir() {
        return failed(io::ErrorKind::IsADirectory);
    }
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() || folder.is_dir() => Ok(()),
        Some(_) => failed(io::ErrorKind::NotFound),
        None => failed(io::ErrorKind::InvalidInput),
    }
}

/// Writes the carts.
///
/// # Errors
/// [`ExportError`] if the file cannot be written.
pub(crate) fn export(path: &Path, carts: &BTreeMap<String, Items>) -> Result<(), ExportError> {
    write_beside(path, carts).map_err(|source| ExportError { path: path.to_owned(), source })
}

fn write_beside(path: &Path, carts: &BTreeMap<String, Items>) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let mut out = BufWriter::new(File::create(&partial)?);
    write_lines(&mut out, carts)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&partial, path)
}

fn write_lines(out: &mut impl Write, carts: &BTreeMap<String, Items>) -> io::Result<()> {
    for (cart, items) in carts {
        let items = items.iter().filter(|(_, sum)| **sum != 0).map(|(code, sum)| (code.as_str(), *sum)).collect();
        serde_json::to_writer(&mut *out, &Line { cart, items })?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sorted_and_leave_zeros_out() {
        let items = |items: &[(&str, i128)]| items.iter().map(|&(code, sum)| (code.to_owned(), sum)).collect();
        let carts = BTreeMap::from([
            ("cart/b".to_owned(), items(&[("X", 0)])),
            ("cart/a".to_owned(), items(&[("B \"1\"", -2), ("A", i128::from(i64::MAX) * 2), ("C", 0)])),
        ]);
        let mut out = Vec::new();
        write_lines(&mut out, &carts).expect("writing to memory");
        let expected = "{\"cart\":\"cart/a\",\"items\":{\"A\":18446744073709551614,\"B \\\"1\\\"\":-2}}\n\
                        {\"cart\":\"cart/b\",\"items\":{}}\n";
        assert_eq!(String::from_utf8(out).expect("JSON is UTF-8"), expected);
    }

    #[test]
    fn a_folder_or_a_path_in_no_folder_is_refused_beforehand() {
        assert!(check(Path::new("carts.jsonl")).is_ok());
        assert!(check(&std::env::temp_dir()).is_err());
        assert!(check(Path::new("/no/such/folder/carts.jsonl")).is_err());
    }
}
