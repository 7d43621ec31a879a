//! A log directory that says how much room it has.

use kabuki_replica::{DescribeLogDir, LogDirDescription};
use kabuki_runtime::{Actor, Context, Handler};

pub(crate) struct StubLogDir;

impl Actor for StubLogDir {}

impl Handler<DescribeLogDir> for StubLogDir {
    fn handle(&mut self, query: DescribeLogDir, _cx: &mut Context<Self>) {
        query.reply.send(Ok(LogDirDescription {
            total_bytes: 1_000,
            usable_bytes: 400,
        }));
    }
}
