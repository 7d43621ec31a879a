//! What a partition writes to the process log: news for an operator, and nothing for each of the
//! thousands of partitions that open as they should.

mod scene;

use std::sync::{Arc, Mutex};

use kabuki_runtime::{StageOptions, testing};
use scene::*;
use slog::{Drain, Level, Logger, Never, OwnedKVList, Record};

/// Keeps level and text of each line.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<(Level, String)>>>);

impl Drain for Kept {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
        let line = (record.level(), record.msg().to_string());
        self.0.lock().expect("no test panics in here").push(line);
        Ok(())
    }
}

impl Kept {
    fn levels_of(&self, text: &str) -> Vec<Level> {
        let lines = self.0.lock().expect("no test panics in here");
        let found = lines.iter().filter(|(_, line)| line == text);
        found.map(|(level, _)| *level).collect()
    }
}

#[test]
fn only_a_recovery_that_scanned_something_is_news() {
    let kept = Kept::default();
    let options = StageOptions {
        logger: Logger::root(kept.clone(), slog::o!()),
        seed: 0,
        ..StageOptions::default()
    };
    testing::run_with(options, |stage| async move {
        let scene = Scene::new(&stage, config());
        scene.put(1).await;
        assert_eq!(kept.levels_of("log recovered"), [Level::Debug], "empty");
        scene.crash();
        scene.put(1).await;
        let levels = kept.levels_of("log recovered");
        assert_eq!(levels, [Level::Debug, Level::Info], "one batch scanned");
        scene.stop().await;
        let scene = Scene::on(&stage, scene.fs.clone(), config(), 1);
        scene.put(1).await;
        let levels = kept.levels_of("log recovered");
        assert_eq!(levels[2..], [Level::Debug], "closed cleanly before");
        scene.stop().await;
    });
}
