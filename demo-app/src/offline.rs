//! The cart offline: what one does with the carts in a folder, alone, and now and then with others.
//!
//! The folder is a whole replica. Every command opens it, does one thing and closes it again, and needs
//! nobody for that; [`serve`] is the one that stays. Who changed what while others could not hear
//! of it comes together in [`sync`], or at any time through a replica that serves.
//!
//! What if two processes want one folder? They cannot both have it, or they would spend the same dots
//! for different changes. So the second is told who has it and where that one can be reached: it takes a
//! folder of its own and syncs, which is what replicas are for.
//!
//! In reading order: [`folder`] opens and says what stands in the way, [`edit`] changes a cart, [`look`]
//! reads what the store holds, [`keep`] checks it and copies it, [`sync`] and [`serve`] meet others.

pub mod edit;
pub mod folder;
pub mod keep;
pub mod look;
pub mod serve;
pub mod sync;
