//! Tables of events, and random runs. A line of a table is `command -> answers that the event released`; the
//! commands are those of `scene`.

mod classic;
mod consumer;
mod durability;
mod migration;
mod offsets;
mod print;
mod random;
mod scene;

use scene::Scene;

/// Runs a table, and shows the whole of it beside what happened when any line differs.
fn run(scene: &mut Scene, table: &str) {
    let mut expected = String::new();
    let mut happened = String::new();
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, answers) = line.split_once("->").unwrap_or((line, ""));
        let got = scene.perform(command.trim());
        expected += &format!("{} -> {}\n", command.trim(), answers.trim());
        happened += &format!("{} -> {got}\n", command.trim());
    }
    assert_eq!(
        happened, expected,
        "\nhappened:\n{happened}\nexpected:\n{expected}"
    );
}
