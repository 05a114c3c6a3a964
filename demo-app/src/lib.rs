//! A shopping cart that every replica may change: two ways to see multi-master replication work.
//!
//! [`story`] lets two replicas change one cart while they cannot talk, joins them again and shows
//! what the merge made of it. [`replay`] feeds a file of real trade rows to several replicas at
//! once, takes their links away in turn, and compares every replica with a plain fold of the file.
//! Both use real replicas and real WebSocket links, through the public API only.
//!
//! In reading order: [`cart`] says what a cart is in a document, [`topology`] who links to whom,
//! [`cluster`] runs the replicas, [`convergence`] tells who lacks what, and [`watchdog`] ends a run
//! that has stopped moving. Nothing here prints: the binary `cart` shows what these modules report.

pub mod cart;
pub mod cluster;
pub mod convergence;
pub mod offline;
pub mod replay;
pub mod splitmix;
pub mod story;
pub mod topology;
pub mod watchdog;
