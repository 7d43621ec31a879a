//! Derives the versioned encoding of Kafka messages.
//!
//! `#[derive(Message)]` on a struct with named fields writes `Default` and the traits `Field` and
//! `Structure` of `kabuki_protocol::codec`, and for whole messages its `Message` too.
//! The struct must be `PartialEq`. Fields are laid out in the order in which they are declared.
//!
//! ```text
//! #[derive(Debug, Clone, PartialEq, Message)]
//! #[kafka(versions = "3-13", flexible = "9+")]        // a whole message; without it: a part of one
//! pub struct ExampleRequest {
//!     pub acks: i16,                                  // in every version
//!     #[kafka(versions = "0-12", ignorable)]          // silently left out from 13 on
//!     pub name: String,
//!     #[kafka(versions = "5+", default = -1)]         // -1 below 5; other values refuse to encode there
//!     pub log_start_offset: i64,
//!     #[kafka(nullable = "8+")]                       // an `Option` is nullable always, or only here
//!     pub message: Option<String>,
//!     #[kafka(versions = "10+", tag = 0)]             // a tagged field, written unless it is the default
//!     pub current_leader: Leader,
//! }
//! ```
//!
//! A range is `"3"`, `"3-7"` or `"3+"`. Keys: `versions`, `flexible` on the struct; `versions`,
//! `nullable`, `tag`, `default` (any expression), `ignorable` on a field. Anything else is a compile error.
//!
//! Source: KIP-482 (flexible versions and tagged fields), Kafka's message generator for the meaning
//! of *ignorable*.

mod attributes;
mod expand;

use proc_macro::TokenStream;

/// Derives `Field`, `Structure` and `Default`, and `Message` where the struct names its versions.
#[proc_macro_derive(Message, attributes(kafka))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    match expand::message(&input) {
        Ok(tokens) => tokens.into(),
        Err(error) => error.to_compile_error().into(),
    }
}
