//! `docs/configuration.md` says what the tables of keys say.

#[path = "../examples/configuration.rs"]
#[allow(dead_code)] // its `main` prints
mod configuration;

#[test]
fn the_page_is_written_from_the_tables() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let written = std::fs::read_to_string(path).expect("the page is there");
    let page = configuration::page();
    let differing = written
        .lines()
        .zip(page.lines())
        .find(|(written, wanted)| written != wanted);
    assert!(
        written == page,
        "docs/configuration.md is not what the tables say (first: {differing:?}); write it anew with \
         `cargo run -p kabuki-controller --example configuration > docs/configuration.md`"
    );
}
