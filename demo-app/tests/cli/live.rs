//! A `cart` that goes on running: what it prints is awaited line by line, and it is ended by the test.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::run::command;

/// How long a line may take before the test fails; the machine may have much else to do.
const LINE_WITHIN: Duration = Duration::from_secs(60);

/// A running process, killed when dropped.
#[derive(Debug)]
pub(crate) struct Live {
    child: Child,
    lines: Receiver<String>,
}

/// A running `cart serve --json`.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) live: Live,
    pub(crate) url: String,
    pub(crate) replica: String,
}

impl Live {
    /// Starts a command; what it prints on standard output is awaited.
    pub(crate) fn stdout_of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
        let stdout = child.stdout.take().expect("it is piped");
        Self { child, lines: lines(stdout) }
    }

    /// Starts a command; what it prints on standard error is awaited.
    pub(crate) fn stderr_of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let stderr = child.stderr.take().expect("it is piped");
        Self { child, lines: lines(stderr) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line; `None` at the end.
    pub(crate) fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(LINE_WITHIN) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no line for {LINE_WITHIN:?}"),
        }
    }

    /// Waits for a line that holds this.
    pub(crate) fn line_with(&self, part: &str) -> String {
        let mut seen = Vec::new();
        while let Some(line) = self.line() {
            if line.contains(part) {
                return line;
            }
            seen.push(line);
        }
        panic!("it ended without a line with {part:?}: {seen:#?}");
    }

    /// Waits for the event, one JSON object a line, for which this holds.
    pub(crate) fn event(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        while let Some(line) = self.line() {
            let event = serde_json::from_str(&line).expect("every line is JSON");
            if is_it(&event) {
                return event;
            }
            seen.push(event);
        }
        panic!("it ended without the event: {seen:#?}");
    }

    /// Asks it to end, as a system that shuts down does, and returns its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.pid())]).status();
        assert!(asked.expect("there is a shell").success());
        self.child.wait().expect("it can be waited for").code()
    }

    /// Ends it on the spot, without a chance to tidy up.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Serves a folder on a free port, and waits until others can reach it.
    pub(crate) fn start(folder: &Path, arguments: &str) -> Self {
        let mut serve = command("--json --data", &[folder]);
        serve.args("serve --listen 127.0.0.1:0".split(' ')).args(arguments.split_whitespace());
        let live = Live::stdout_of(&mut serve);
        let listening = live.event(|event| event["event"] == "listening");
        let text = |name: &str| listening[name].as_str().expect("a text").to_owned();
        let (url, replica) = (text("url"), text("replica"));
        Self { live, url, replica }
    }
}

/// Passes lines on as they come.
fn lines(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(source).lines() {
            // The test has ended.
            let Ok(true) = line.map(|line| sender.send(line).is_ok()) else { return };
        }
    });
    lines
}
