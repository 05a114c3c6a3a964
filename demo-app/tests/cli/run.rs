//! Runs `cart` and keeps what it said.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `cart` with these arguments, split at blanks, and then `file`s that may hold blanks.
pub(crate) fn cart(arguments: &str, files: &[&Path]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cart"));
    // Colours must not depend on where the tests run.
    command.args(arguments.split_whitespace()).args(files).env_remove("CLICOLOR_FORCE");
    let output = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Run {
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
