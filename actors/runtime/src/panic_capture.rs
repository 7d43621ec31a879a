//! Catches panics of actor code together with their text and place. Panics outside of actors go to
//! the hook that was installed before, unchanged.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

/// Text and place of a panic that was caught.
#[derive(Debug, Clone)]
pub(crate) struct Caught {
    pub(crate) text: String,
    /// `file:line`, see [`short_place`].
    pub(crate) place: String,
}

thread_local! {
    /// True while actor code runs on this thread, so that the hook knows whose panic it sees.
    static IN_ACTOR: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<Caught>> = const { RefCell::new(None) };
}

/// Installs the hook once for the process.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IN_ACTOR.get() {
                let caught = describe(info);
                // The first panic of a chain is the cause; a later one happened while unwinding.
                LAST.with_borrow_mut(|last| _ = last.get_or_insert(caught));
            } else {
                previous(info);
            }
        }));
    });
}

fn describe(info: &PanicHookInfo<'_>) -> Caught {
    let payload = info.payload();
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a text".to_owned());
    let place = info
        .location()
        .map(|at| short_place(at.file(), at.line()))
        .unwrap_or_default();
    Caught { text, place }
}

/// Runs actor code and turns a panic into a value.
///
/// The value the code worked on counts as broken afterwards and is dropped by the caller, which is
/// why asserting unwind safety is sound here.
pub(crate) fn caught<T>(actor_code: impl FnOnce() -> T) -> Result<T, Caught> {
    let outer = IN_ACTOR.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(actor_code));
    IN_ACTOR.set(outer);
    result.map_err(|payload| {
        // The payload is of the actor's making: its drop may panic as well.
        _ = panic::catch_unwind(AssertUnwindSafe(|| drop(payload)));
        LAST.with_borrow_mut(Option::take).unwrap_or(Caught {
            text: "panic whose text was not captured".to_owned(),
            place: String::new(),
        })
    })
}

/// `state/append.rs:48` for `actors/partition/src/state/append.rs` line 48.
pub(crate) fn short_place(file: &str, line: u32) -> String {
    let short = file.rsplit_once("src/").map_or(file, |(_, rest)| rest);
    format!("{short}:{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_panic_carries_text_and_place() {
        install();
        let error = caught(|| panic!("segment {} is gone", 3)).unwrap_err();
        assert_eq!(error.text, "segment 3 is gone");
        assert!(
            error.place.starts_with("panic_capture.rs:"),
            "{}",
            error.place
        );
    }

    #[test]
    fn the_first_panic_of_a_chain_is_reported_once() {
        install();
        _ = caught(|| panic!("first")).unwrap_err();
        let second = caught(|| std::panic::panic_any(7_u8)).unwrap_err();
        assert_eq!(second.text, "panic without a text");
    }

    #[test]
    fn a_place_is_shown_relative_to_its_crate() {
        assert_eq!(
            short_place("actors/partition/src/state/append.rs", 48),
            "state/append.rs:48"
        );
        assert_eq!(short_place("build.rs", 1), "build.rs:1");
    }
}
