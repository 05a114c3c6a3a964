//! Replicas in processes of their own: killed at any moment, raced for one folder, copied, restored, opened twice.
//!
//! `CRDT_KILLS` sets how often a process is killed while it writes and syncs (default 500), `CRDT_RACES` how many
//! rounds of a hundred processes race for one folder (default 100).

mod copied;
mod killed;
mod raced;
mod support;
mod traced;
mod twins;
