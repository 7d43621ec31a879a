//! Supervised actors with bounded, typed mailboxes.
