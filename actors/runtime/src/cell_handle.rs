//! The hold that a supervisor has on the cell of a child: orders go down, the end comes up. Small,
//! as there is one for each of thousands of actors.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use crate::accounting::lock;
use crate::cell::Order;

#[derive(Default)]
struct Orders {
    waiting: VecDeque<Order>,
    waker: Option<Waker>,
}

#[derive(Default)]
pub(crate) struct CellHandle {
    orders: Mutex<Orders>,
    /// Looked at without the lock at each wake-up of the actor.
    has_orders: AtomicBool,
    is_ended: AtomicBool,
    ended: Notify,
}

impl CellHandle {
    /// Tells the cell what to do. One that has ended does not hear it.
    pub(crate) fn order(&self, order: Order) {
        let mut orders = lock(&self.orders);
        orders.waiting.push_back(order);
        self.has_orders.store(true, Ordering::Release);
        let waker = orders.waker.clone();
        drop(orders);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next order. `seen` belongs to the one cell that asks, and spares it the lock while its
    /// waker stays the same.
    pub(crate) fn poll_order(
        &self,
        seen: &mut Option<Waker>,
        task: &mut Context<'_>,
    ) -> Poll<Order> {
        let is_known = seen
            .as_ref()
            .is_some_and(|seen| seen.will_wake(task.waker()));
        if is_known && !self.has_orders.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        let mut orders = lock(&self.orders);
        if !is_known {
            orders.waker = Some(task.waker().clone());
            *seen = Some(task.waker().clone());
        }
        match orders.waiting.pop_front() {
            Some(order) => Poll::Ready(order),
            None => {
                self.has_orders.store(false, Ordering::Release);
                Poll::Pending
            }
        }
    }

    /// The cell has ended for good.
    pub(crate) fn set_ended(&self) {
        self.is_ended.store(true, Ordering::Release);
        self.ended.notify_waiters();
        lock(&self.orders).waker = None;
    }

    /// Completes when the cell has ended.
    pub(crate) async fn ended(&self) {
        let ended = self.ended.notified();
        if !self.is_ended.load(Ordering::Acquire) {
            ended.await;
        }
    }
}
