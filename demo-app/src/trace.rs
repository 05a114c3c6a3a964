//! The log of what the replicas do, on standard error, for whoever asks for it.
//!
//! Off unless `CART_LOG` or, if that is not set, `RUST_LOG` says what to show: a level (`debug`), or levels
//! by module (`crdt_net=debug,crdt_store=info`). The log names documents, replicas and addresses, and
//! never what is in a document.

use std::io;

use tracing_subscriber::EnvFilter;

/// Where the filter is looked for, in this order.
const VARIABLES: [&str; 2] = ["CART_LOG", "RUST_LOG"];

/// Starts the log if the environment asks for it.
///
/// # Errors
/// A complaint for the user: the filter makes no sense.
pub(crate) fn start() -> Result<(), String> {
    let given = |variable: &&&str| std::env::var(variable).is_ok_and(|filter| !filter.trim().is_empty());
    let Some(variable) = VARIABLES.iter().find(given) else { return Ok(()) };
    let filter = EnvFilter::try_from_env(variable).map_err(|error| format!("{variable}: {error}"))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    Ok(())
}
