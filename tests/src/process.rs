//! A replica in a process of its own, and the ways to end it.
//!
//! How does a test not hang on a process that does? What it says comes through a thread, and every wait for
//! a line has its limit.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// The one document that such a replica writes to.
pub const DOCUMENT: &str = "d";

/// The set in it that holds what was written.
pub const ELEMENTS: &str = "written";

/// How long a process may be silent when something is expected of it.
const SILENT_MAX: Duration = Duration::from_secs(60);

/// A process that says lines and takes lines. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    /// Starts a program.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(program: impl AsRef<OsStr>, folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.arg(folder).args(arguments);
        Self::spawn(command)
    }

    /// Starts a command.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program is there");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, input, lines }
    }

    /// Returns the number of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells it something.
    ///
    /// # Panics
    /// If it does not listen any more.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("it has not been ended"), "{line}").expect("it listens");
    }

    /// Waits for the next line; `None` if it has ended.
    ///
    /// # Panics
    /// If it is silent for too long.
    pub fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(SILENT_MAX) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("process {} says nothing for {SILENT_MAX:?}", self.id()),
        }
    }

    /// Tells it something and returns the answer.
    ///
    /// # Panics
    /// If there is none.
    pub fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.line().unwrap_or_else(|| panic!("no answer to {line:?}"))
    }

    /// Kills it, so that it cannot do anything more, and returns what it had said.
    pub fn kill(mut self) -> Vec<String> {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        self.rest()
    }

    /// Waits for its end and returns what it has said until then.
    #[must_use]
    pub fn rest(&mut self) -> Vec<String> {
        self.input = None;
        let said = std::iter::from_fn(|| self.line()).collect();
        self.child.wait().expect("it is a child of ours");
        said
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
