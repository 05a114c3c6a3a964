//! Changes one cart in a folder, and reads it.
//!
//! Each change is one transaction: all of it is durable when the function returns, or none of it has
//! happened.

use std::path::Path;

use crdt_core::EditError;
use crdt_net::{Closed, DocumentError, DocumentHandle, Replica, SetAsideError, TransactError};
use thiserror::Error;

use crate::cart::{self, Cart, TakeError};
use crate::offline::folder::{self, FolderError, Open, Renewed};

/// One change of a cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Puts so many of an item in; at least one.
    Add {
        /// Which item.
        item: String,
        /// How many.
        quantity: i64,
    },
    /// Takes so many of an item out; at least one, and no more than there are.
    Take {
        /// Which item.
        item: String,
        /// How many.
        quantity: i64,
    },
    /// Takes an item out, with all of it that the replica has seen.
    Remove {
        /// Which item.
        item: String,
    },
    /// Writes the owner's name, in place of all that the replica has seen.
    Rename {
        /// The name.
        name: String,
    },
}

/// A cart before and after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// As it was.
    pub before: Cart,
    /// As it is, durably.
    pub after: Cart,
}

/// Why a cart could not be changed or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CartError {
    /// The folder cannot be opened. Nothing has changed.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// No document can have the name that was asked for, or no more can be opened. Nothing has changed.
    #[error("there can be no cart of that name")]
    Name(#[source] DocumentError),
    /// There is not enough to take. Nothing has changed.
    #[error(transparent)]
    Take(#[from] TakeError),
    /// There is nothing to remove. Nothing has changed.
    #[error("there is no {item:?} in the cart; nothing was removed")]
    NotThere {
        /// The item asked for.
        item: String,
    },
    /// The change is impossible: a name is too long, or a sum too large. Nothing has changed.
    #[error("the change is impossible: {0}")]
    Edit(#[from] EditError),
    /// The cart cannot be set aside. Nothing has changed.
    #[error("the cart cannot be set aside: {0}")]
    Aside(#[from] SetAsideError),
    /// The store failed; whether the change is durable shows when the folder is opened again.
    #[error("the store has failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Edit {
    /// Tells whether a folder without a store may be made for it: not to take out of nothing.
    const fn may_begin(&self) -> bool {
        matches!(self, Self::Add { .. } | Self::Rename { .. })
    }
}

/// Makes a change, durable on return.
///
/// # Errors
/// [`CartError`].
pub async fn edit(folder: &Path, cart: &str, edit: Edit, notice: &mut dyn FnMut(Renewed)) -> Result<Edited, CartError> {
    let opened = match edit.may_begin() {
        true => folder::open_or_make(crdt_net::Options::at(folder), folder).await?,
        false => folder::open(folder).await?,
    };
    in_cart(opened, cart, notice, async |document: &DocumentHandle| {
        let before = read_now(document).await?;
        apply(document, edit).await?;
        Ok(Edited { before, after: read_now(document).await? })
    })
    .await
}

/// Reads a cart; one that nobody has written to is empty.
///
/// # Errors
/// [`CartError`].
pub async fn read(folder: &Path, cart: &str, notice: &mut dyn FnMut(Renewed)) -> Result<Cart, CartError> {
    in_cart(folder::open(folder).await?, cart, notice, read_now).await
}

/// Moves all that is in a cart into a new one, durably, and returns it. The cart is empty until others are met, and
/// takes over what they hold.
///
/// # Errors
/// [`CartError`].
pub async fn set_aside(
    folder: &Path,
    cart: &str,
    aside: &str,
    notice: &mut dyn FnMut(Renewed),
) -> Result<Cart, CartError> {
    in_cart(folder::open(folder).await?, cart, notice, async |document: &DocumentHandle| {
        read_now(&document.set_aside(aside).await?).await
    })
    .await
}

/// Works on a cart of an open replica, and closes it whatever comes of that.
async fn in_cart<T>(
    opened: Open<Replica>,
    cart: &str,
    notice: &mut dyn FnMut(Renewed),
    work: impl AsyncFnOnce(&DocumentHandle) -> Result<T, CartError>,
) -> Result<T, CartError> {
    let Open { inner: replica, renewed } = opened;
    renewed.into_iter().for_each(notice);
    let outcome = match replica.document(cart).await {
        Ok(document) => work(&document).await,
        Err(error) => Err(CartError::Name(error)),
    };
    let failure = replica.clone();
    replica.close().await;
    match failure.failure() {
        // It says more than "closed", which is what the work heard of it.
        Some(error) => Err(CartError::Store(error.into())),
        None => outcome,
    }
}

async fn read_now(document: &DocumentHandle) -> Result<Cart, CartError> {
    Ok(Cart::read(&document.snapshot().await?))
}

async fn apply(document: &DocumentHandle, edit: Edit) -> Result<(), CartError> {
    let outcome = document.transact(move |transaction| match edit {
        Edit::Add { item, quantity } => cart::add(transaction, &item, quantity).map_err(CartError::from),
        Edit::Take { item, quantity } => cart::take(transaction, &item, quantity).map_err(CartError::from),
        Edit::Remove { item } => match cart::remove(transaction, &item)? {
            true => Ok(()),
            false => Err(CartError::NotThere { item }),
        },
        Edit::Rename { name } => cart::rename(transaction, &name).map_err(CartError::from),
    });
    outcome.await.map_err(|error| match error {
        TransactError::Edit(error) => error,
        TransactError::Open(error) => CartError::Name(DocumentError::Open(error)),
        error => CartError::Store(error.into()),
    })
}

impl From<Closed> for CartError {
    fn from(closed: Closed) -> Self {
        Self::Store(closed.into())
    }
}
