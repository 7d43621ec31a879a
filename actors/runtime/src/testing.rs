//! Runs a test on a stage of its own: one thread, a virtual clock that jumps to the next timer when
//! nothing is left to do, and a look at what outlives the test.

use std::future::Future;
use std::time::Duration;

use crate::stage::{Stage, StageOptions};

/// Time all actors get to stop after a test. Virtual, so it costs nothing.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// Runs `body` on a stage with virtual time.
///
/// # Panics
/// If `body` does, and if an actor outlives it: does not end by itself in the ordered stop that
/// follows, because it hangs or waits for something that never comes.
pub fn run<B, F, T>(body: B) -> T
where
    B: FnOnce(Stage) -> F,
    F: Future<Output = T>,
{
    run_with(
        StageOptions {
            seed: 0,
            ..StageOptions::default()
        },
        body,
    )
}

/// As [`run`], with a logger or seed of the test's own.
///
/// # Panics
/// As [`run`].
pub fn run_with<B, F, T>(options: StageOptions, body: B) -> T
where
    B: FnOnce(Stage) -> F,
    F: Future<Output = T>,
{
    let system = actix::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("the system has room for an event loop")
    });
    system.block_on(async {
        let stage = Stage::set_up(options, true);
        let result = body(stage.clone()).await;
        let left = stage.take_down(STOP_WITHIN).await;
        let left: Vec<&str> = left.iter().map(|path| path.as_str()).collect();
        assert!(
            left.is_empty(),
            "actors outlive the test: {}",
            left.join(", ")
        );
        result
    })
}
