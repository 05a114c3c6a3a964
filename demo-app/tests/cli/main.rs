//! The program as a person runs it: the built binary, real links, exit codes, what it prints.

mod arguments;
mod demo;
mod folder;
mod keep;
mod live;
mod log;
mod meet;
mod moved;
mod readme;
mod replay;
mod resume;
mod run;
mod sales;
