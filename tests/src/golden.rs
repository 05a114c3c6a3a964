//! Golden scripts: stories of the protocol, played on real endpoints and compared line by line.
//!
//! A script is a text file: comments that tell a story, commands, `---`, and then everything that
//! happens, in order. Who writes the expected lines? Nobody: they are what the endpoints did, written
//! down once, read by a person, and from then on any difference fails. So a change of the protocol
//! shows as a diff of the conversations that it changes. `UPDATE_GOLDENFILES=1` writes the files anew.
//!
//! Nothing happens by itself on this stage. Replicas A, B, C … (ids 1, 2, 3, …) are [hosts](crate::sim::Host)
//! on virtual links, first in, first out; messages are delivered, writes become durable and time
//! passes when a command says so. Nonces and processes are counted, so a script gives the same lines everywhere.
//!
//! Source: goldenscript, and the scripts of its author's toydb (Raft, MVCC), where whole protocols read
//! this way. Deliberately absent: chance (the simulator has it), sockets, and assertions: what a story
//! must show is said in its comment and checked by whoever reads the diff.
//!
//! # Lines
//!
//! Each begins with whose doing it is.
//!
//! | Line | Meaning |
//! |---|---|
//! | `A -> B  Delta #0 {A: 3} [60]` | A puts a message on its link to B; `[60]`: this many bytes now count as in flight |
//! | `B <- A  Delta #0` | B takes it off the link; what follows is what it does about it |
//! | `B       persist …`, `B       durable …` | B asks for a write; the write survives a crash from here on |
//! | `B       load …`, `B       loaded …` | B asks for a document that is not in memory, and gets it |
//! | `B       rested …` | a document has left B's memory |
//! | `B       event …` | B tells its application |
//! | `B       closes A: 4006 …`, `A <- B  closed` | B closes the link; A hears of it, behind all that was sent |
//! | `A -> B  lost: …` | what was on its way when a link was cut |
//! | `at 15.0 s` | the clock, where a timer made something happen |
//!
//! `A -> B/2` is the second link between the two. `#0` is the number that the sender of the frame has
//! given the document (in a Reject: its receiver). `X` is a stranger: it has no endpoint and says what `raw` says.
//!
//! # Commands
//!
//! | Command | What happens |
//! |---|---|
//! | `config log_bytes_max=600 accept=opened …` | the limits of the replicas that start from here on |
//! | `start A` | A starts on an empty store; so does any replica that is named the first time |
//! | `open A cart` | A opens a document |
//! | `write A cart insert items apples` | one transaction: `insert`, `remove` (set), `set` (register), `add` (counter); `times=100` for as many transactions, `bytes=5000` for a long text |
//! | `show A cart` | what A holds |
//! | `connect A B` | A dials B: both ends see a new link |
//! | `dial A B`, `answer A B` | the same, one end at a time |
//! | `run` | delivers everything until nothing is on its way |
//! | `deliver A B 2` | delivers the next two messages from A to B; `link=2` for the second link |
//! | `pause A B`, `resume A B` | nothing that A sends arrives at B for the time being |
//! | `lose A B` | the next message from A to B vanishes, against what a transport promises |
//! | `cut A B` | the link ends, at both ends; what was on its way is lost |
//! | `hold A`, `sync A 1`, `release A` | A's writes are not durable until told; the oldest one is; all are, and from now on at once |
//! | `rest A cart`, `load A` | the document leaves A's memory, if it may; A gets what it has asked for first, which between `hold` and `release` it does only when told |
//! | `crash B keep=1` | B's process ends; the oldest of its writes under way still gets durable. Its peers hear nothing |
//! | `restart B` | B starts on what is durable |
//! | `copy B B2` | another process starts on a copy of B's store, with B's identity |
//! | `damage B cart apples papaya` | B's stored document holds another text, of the same length, without a trace |
//! | `raw X B 0b` | X puts these bytes on its link to B |
//! | `pass 15s` | time goes on; timers fire; everything is delivered |
//!
//! In parentheses, a command is played and nothing written down: `(run)`.

use std::error::Error;
use std::path::Path;

mod cast;
mod command;
mod lines;
mod links;
mod stage;
mod store;
mod wire;

use cast::Edit;
use command::Command;
use stage::Stage;

/// Plays one script on an empty stage and compares what happens with what is written in it.
///
/// With `UPDATE_GOLDENFILES=1` it writes what happens into the script instead.
///
/// # Errors
/// If the file cannot be read, or a command fails.
///
/// # Panics
/// If what happens differs.
pub fn run(script: &Path) -> std::io::Result<()> {
    goldenscript::run(&mut Stage::new(), script)
}

/// Why a command cannot be played. Scripts are written by hand, so people read it.
type Failure = Box<dyn Error>;

impl goldenscript::Runner for Stage {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &goldenscript::Context) -> Result<String, Failure> {
        self.play(command)?;
        Ok(self.take_lines())
    }
}

impl Stage {
    fn play(&mut self, command: &Command) -> Result<(), Failure> {
        match command {
            Command::Config(settings) => self.configure(settings),
            Command::Start(name) => self.start(*name),
            Command::Open(name, document) => self.open(*name, document),
            Command::Write { name, document, verb, place, value, times, bytes } => {
                let value = bytes.map_or_else(|| value.clone(), |bytes| lengthened(value, bytes));
                self.write(*name, document, &Edit { verb: *verb, place, value, times: times.unwrap_or(1) })
            }
            Command::Show(name, document) => self.show(*name, document),
            Command::Connect(from, to) => {
                self.dial(*from, *to)?;
                self.answer(*from, *to)
            }
            Command::Dial(from, to) => self.dial(*from, *to),
            Command::Answer(from, to) => self.answer(*from, *to),
            Command::Run => self.run(),
            Command::Deliver { from, to, count, link } => self.deliver(*from, *to, *link, count.unwrap_or(1)),
            Command::Pause(from, to) => self.pause(*from, *to),
            Command::Resume(from, to) => self.resume(*from, *to),
            Command::Lose(from, to) => self.lose(*from, *to),
            Command::Cut { from, to, link } => self.cut(*from, *to, *link),
            Command::Hold(name) => self.hold(*name),
            Command::Release(name) => self.release(*name),
            Command::Sync(name, count) => self.sync(*name, count.unwrap_or(usize::MAX)),
            Command::Rest(name, document) => self.rest(*name, document),
            Command::Load(name) => self.load(*name),
            Command::Crash { name, keep } => self.crash(*name, keep.unwrap_or(0)),
            Command::Restart(name) => self.restart(*name),
            Command::Copy(from, to) => self.copy(*from, *to),
            Command::Damage { name, document, old, new } => self.damage(*name, document, old, new),
            Command::Raw { from, to, bytes } => self.raw(*from, *to, &bytes.0),
            Command::Pass(time) => self.pass(time.ms),
        }
    }
}

/// Repeats a text until it has so many bytes.
fn lengthened(text: &str, bytes: usize) -> String {
    text.chars().filter(char::is_ascii).cycle().take(bytes).collect()
}
