//! Runs `cart` and keeps what it said.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `cart` with these arguments, split at blanks, and then `file`s that may hold blanks.
pub(crate) fn cart(arguments: &str, files: &[&Path]) -> Run {
    Run::of(command(arguments, files).output().expect("the binary runs"))
}

/// Runs `cart` on the carts in a folder.
pub(crate) fn cart_in(folder: &Path, arguments: &str) -> Run {
    let mut command = command("--data", &[folder]);
    Run::of(command.args(arguments.split_whitespace()).output().expect("the binary runs"))
}

/// Makes a command that runs `cart`, independent of the environment of the tests.
pub(crate) fn command(arguments: &str, files: &[&Path]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cart"));
    command.args(arguments.split_whitespace()).args(files);
    for variable in ["CLICOLOR_FORCE", "CART_LOG", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command
}

impl Run {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Asserts that the command failed, printed no result, and complained of this.
    pub(crate) fn refused(self, complaint: &str) -> Self {
        let run = self.ended(1);
        assert_eq!(run.stdout, "", "{run:#?}");
        assert!(run.stderr.contains(complaint), "{complaint:?} is missing in {run:#?}");
        run
    }

    /// Asserts the exit code, showing everything if it is another.
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Reads standard output as the one JSON object that it must be.
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:#?}");
        serde_json::from_str(&self.stdout).expect("standard output is JSON")
    }
}

/// An empty folder of this test's own.
pub(crate) fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

/// Copies a folder with all its files, as a person would.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the target folder can be written");
    for entry in std::fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("the file can be copied");
    }
}
