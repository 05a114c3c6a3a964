//! `cart verify`, `backup` and `restore`: a folder as a whole.

use std::path::PathBuf;

use clap::Args;
use demo_app::offline::keep::{self, Checked};
use indicatif::HumanBytes;
use serde_json::json;

use crate::cli::{CommandError, Place, note_renewed};
use crate::ui::{GOOD, Ui, styled};

/// Reads and checks every byte that the folder holds, and changes none.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {}

/// Writes all carts into one new file.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file, which must not be there yet.
    file: PathBuf,
}

/// Makes the folder of a backup.
///
/// It is a new replica: its first opening takes an identity of its own, because the one that the backup
/// was taken of may still write.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup.
    file: PathBuf,
}

impl VerifyArgs {
    pub(crate) fn run(self, place: &Place, ui: &mut Ui) -> Result<bool, CommandError> {
        let checked = keep::verify(&place.folder)?;
        if place.json {
            ui.json(&checked);
        } else {
            let good = styled(GOOD, "✓");
            ui.line(format_args!("{good} all is whole: {}", content(&checked)));
        }
        Ok(true)
    }
}

impl BackupArgs {
    pub(crate) fn run(self, place: &Place, ui: &mut Ui) -> Result<bool, CommandError> {
        let bytes = keep::back_up(&place.folder, &self.file, &mut |renewed| note_renewed(&renewed))?;
        if place.json {
            ui.json(&json!({"file": self.file, "bytes": bytes}));
        } else {
            ui.line(format_args!("{} written, {}", self.file.display(), HumanBytes(bytes)));
        }
        Ok(true)
    }
}

impl RestoreArgs {
    pub(crate) fn run(self, place: &Place, ui: &mut Ui) -> Result<bool, CommandError> {
        let checked = keep::restore(&self.file, &place.folder)?;
        if place.json {
            ui.json(&checked);
        } else {
            ui.line(format_args!("{} restored: {}", place.folder.display(), content(&checked)));
            ui.line("it takes an identity of its own when it is first opened");
        }
        Ok(true)
    }
}

fn content(checked: &Checked) -> String {
    let Checked { documents, deltas, snapshot_bytes, delta_bytes, file_bytes } = *checked;
    format!(
        "{documents} documents, {deltas} deltas, {} of content in a file of {}",
        HumanBytes(snapshot_bytes + delta_bytes),
        HumanBytes(file_bytes)
    )
}
