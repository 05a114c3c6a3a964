//! `cart verify`, `backup`, `restore` and `moved`: a folder as a whole.

use std::path::PathBuf;

use clap::Args;
use demo_app::offline::keep::{self, Checked, Moved};
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

/// Keeps the identity of a folder that was carried to another disk or machine.
///
/// Give it as the first command after the move: any other takes the folder for a copy, which gets an
/// identity of its own; nothing is lost by that, but one more id stays in its carts. Give it only if no
/// copy of the folder stays in use: what two replicas write under one identity may take a `set-aside` to
/// come together. A backup, or a store that its witness does not know, such as an earlier copy that was put
/// back, takes a new identity all the same; the exit code is then 1.
#[derive(Debug, Args)]
pub(crate) struct MovedArgs {}

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

impl MovedArgs {
    pub(crate) fn run(self, place: &Place, ui: &mut Ui) -> Result<bool, CommandError> {
        let moved = keep::moved(&place.folder)?;
        if place.json {
            ui.json(&moved);
        } else {
            show_moved(ui, &moved);
        }
        Ok(!matches!(moved, Moved::Renewed { .. }))
    }
}

fn show_moved(ui: &mut Ui, moved: &Moved) {
    match moved {
        Moved::Proven { replica } => {
            ui.line(format_args!("this replica is {replica}; the identity is proven, there was nothing to vouch for"));
        }
        Moved::Vouched { replica, although } => {
            ui.line(format_args!("this replica stays {replica}: you vouch for it, although {although}"));
        }
        Moved::Renewed { replica, former, because } => {
            let former = former.map(|former| format!(" {former}")).unwrap_or_default();
            ui.line(format_args!("the identity{former} cannot be kept, because {because}"));
            ui.line(format_args!("this replica goes on as {replica}; everything written before stays"));
        }
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
