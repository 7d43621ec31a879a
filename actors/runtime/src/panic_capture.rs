//! Catches panics of actor code together with their text and place. Panics outside of actors go to
//! the hook that was installed before, unchanged.

use std::any::Any;
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
                // The newest counts: an older one was caught by the actor itself.
                LAST.set(Some(describe(info)));
            } else {
                previous(info);
            }
        }));
    });
}

fn describe(info: &PanicHookInfo<'_>) -> Caught {
    let text = text_of(info.payload());
    let place = info
        .location()
        .map(|at| short_place(at.file(), at.line()))
        .unwrap_or_default();
    Caught { text, place }
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a text".to_owned())
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
        // Without a record somebody has replaced the hook: the text is still there.
        let caught = LAST.take().unwrap_or_else(|| Caught {
            text: text_of(&*payload),
            place: String::new(),
        });
        // The payload is of the actor's making: its drop may panic as well.
        _ = panic::catch_unwind(AssertUnwindSafe(|| drop(payload)));
        caught
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
    fn a_panic_that_the_actor_caught_itself_does_not_hide_the_next() {
        install();
        let error = caught(|| {
            _ = panic::catch_unwind(|| panic!("first"));
            panic!("second");
        });
        assert_eq!(error.unwrap_err().text, "second");
        let error = caught(|| std::panic::panic_any(7_u8)).unwrap_err();
        assert_eq!(error.text, "panic without a text");
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
