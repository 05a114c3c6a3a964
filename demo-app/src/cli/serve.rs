//! `cart serve`: a replica that others can reach, until ctrl-c or SIGTERM.

use clap::Args;
use crdt_core::ReplicaId;
use crdt_net::Source;
use demo_app::offline::serve::{self, News, Options};
use serde_json::{Value, json};

use crate::cli::look::short;
use crate::cli::{CommandError, Place, block_on, note_renewed};
use crate::ui::{BAD, GOOD, Ui, styled};

/// Keeps the folder's replica up for others to reach, and says what comes.
///
/// Makes the folder if there is none. Ends at ctrl-c or SIGTERM; everything taken in is durable at every
/// moment. There is no encryption yet: listen on 127.0.0.1, or behind a proxy that has it.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen, such as 127.0.0.1:4000; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: String,
    /// Whom to keep a link to; may be given several times.
    #[arg(long = "peer", value_name = "URL")]
    peers: Vec<String>,
}

impl ServeArgs {
    pub(crate) fn run(self, place: &Place, ui: &mut Ui) -> Result<bool, CommandError> {
        let options = Options { listen: self.listen, peers: self.peers };
        let mut tell = |news: News<'_>| match place.json {
            true => ui.json(&object(&news)),
            false => ui.line(sentence(&news)),
        };
        let mut notice = |renewed| note_renewed(&renewed);
        block_on(async {
            let end = asked_to_end();
            serve::serve(&place.folder, &options, end, &mut notice, &mut tell).await
        })??;
        Ok(true)
    }
}

/// Returns when the user or the system wants the process to end. Listens from the call on.
fn asked_to_end() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    let terminated = async move {
        #[cfg(unix)]
        if let Ok(mut terminate) = terminate {
            terminate.recv().await;
            return;
        }
        std::future::pending::<()>().await;
    };
    async move {
        tokio::select! {
            // Without a handler the system ends the process, and nothing durable is lost by that.
            Ok(()) = tokio::signal::ctrl_c() => {}
            () = terminated => {}
        }
    }
}

/// One line for people.
fn sentence(news: &News<'_>) -> String {
    match news {
        News::Listening { address, replica, carts } => {
            let good = styled(GOOD, format_args!("ws://{address}"));
            format!("listening on {good}, as replica {replica} with {carts} carts")
        }
        News::PeerUp { replica, address } => format!("{} is linked, {address}", short(*replica)),
        News::PeerDown { replica } => format!("{} is gone", short(*replica)),
        News::Cart { document, cart } => {
            let items: Vec<String> = cart.items.iter().map(|(item, quantity)| format!("{item}: {quantity}")).collect();
            format!("{document} of {}: {}", cart.name().unwrap_or("nobody yet"), items.join(", "))
        }
        News::Item { document, item, quantity: Some(quantity), from } => {
            format!("{document}: {item}: {quantity}{}", by(*from))
        }
        News::Item { document, item, quantity: None, from } => format!("{document}: {item}: removed{}", by(*from)),
        News::Name { document, name, names, from } => {
            let rivals = if *names > 1 { format!(", in conflict with {} more", names - 1) } else { String::new() };
            format!("{document}: the name is {}{rivals}{}", name.as_deref().unwrap_or("gone"), by(*from))
        }
        News::Conflict { document } => {
            let bad = styled(BAD, "conflict:");
            format!(
                "{bad} {document} does not come together with a peer's, and never will by itself: `cart set-aside` on one side"
            )
        }
        _ => String::new(),
    }
}

fn by(from: Source) -> String {
    sender(from).map_or_else(String::new, |replica| format!("  (from {})", short(replica)))
}

fn sender(from: Source) -> Option<ReplicaId> {
    match from {
        Source::Peer(replica) => Some(replica),
        Source::Local => None,
    }
}

/// One line for programs; `event` says which.
fn object(news: &News<'_>) -> Value {
    match news {
        News::Listening { address, replica, carts } => {
            json!({"event": "listening", "url": format!("ws://{address}"), "replica": replica, "carts": carts})
        }
        News::PeerUp { replica, address } => json!({"event": "peer_up", "replica": replica, "address": address}),
        News::PeerDown { replica } => json!({"event": "peer_down", "replica": replica}),
        News::Cart { document, cart } => json!({
            "event": "cart", "cart": document.as_str(),
            "name": cart.name(), "conflicts": cart.rivals(), "items": cart.items,
        }),
        News::Item { document, item, quantity, from } => json!({
            "event": "item", "cart": document.as_str(), "item": item, "quantity": quantity, "from": sender(*from),
        }),
        News::Name { document, name, names, from } => json!({
            "event": "name", "cart": document.as_str(), "name": name, "names": names, "from": sender(*from),
        }),
        News::Conflict { document } => json!({"event": "conflict", "cart": document.as_str()}),
        _ => json!({"event": "other"}),
    }
}
