//! Stores from the outside: what each promises, on whatever it stands, and what becomes of it when that fails.

mod backup;
mod damage;
mod laws;
mod written;
