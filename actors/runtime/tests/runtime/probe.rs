//! An actor that does what a test tells it to, and counts what happens to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kabuki_runtime::{
    Actor, Addr, ChildSpec, Context, Fault, Handler, Lane, Message, Reply, ReplyPort, Supervisor,
    Undelivered, reply_channel,
};

/// Long enough for anything but a hang.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// What happened to all instances of a probe.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) made: AtomicUsize,
    pub(crate) started: AtomicUsize,
    pub(crate) dropped: AtomicUsize,
    pub(crate) polls: AtomicUsize,
    pub(crate) settles: AtomicUsize,
    pub(crate) stops: AtomicUsize,
}

impl Counts {
    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    pub(crate) fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    pub(crate) fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }

    pub(crate) fn polls(&self) -> usize {
        self.polls.load(Ordering::SeqCst)
    }

    pub(crate) fn settles(&self) -> usize {
        self.settles.load(Ordering::SeqCst)
    }

    pub(crate) fn stops(&self) -> usize {
        self.stops.load(Ordering::SeqCst)
    }
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::SeqCst);
}

type Hook = Arc<dyn Fn(&mut Probe, &mut Context<Probe>) + Send + Sync>;
type StartHook = Arc<dyn Fn(&mut Context<Probe>) -> Result<(), Fault> + Send + Sync>;

/// What a probe does where no message asks it to.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) on_start: Option<StartHook>,
    pub(crate) on_poll: Option<Hook>,
    pub(crate) on_settle: Option<Hook>,
    pub(crate) on_stop: Option<Hook>,
    pub(crate) on_drop: Option<Arc<dyn Fn() + Send + Sync>>,
}

pub(crate) struct Probe {
    script: Script,
    counts: Arc<Counts>,
    /// Requests taken and not answered.
    pub(crate) in_hand: Vec<ReplyPort<u32>>,
    pub(crate) seen: Vec<u32>,
}

impl Actor for Probe {
    fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Fault> {
        count(&self.counts.started);
        self.script.on_start.clone().map_or(Ok(()), |hook| hook(cx))
    }

    fn poll_io(&mut self, _: &mut std::task::Context<'_>, cx: &mut Context<Self>) {
        count(&self.counts.polls);
        if let Some(hook) = self.script.on_poll.clone() {
            hook(self, cx);
        }
    }

    fn settle(&mut self, cx: &mut Context<Self>) {
        count(&self.counts.settles);
        if let Some(hook) = self.script.on_settle.clone() {
            hook(self, cx);
        }
    }

    fn stop_requested(&mut self, cx: &mut Context<Self>) {
        count(&self.counts.stops);
        match self.script.on_stop.clone() {
            Some(hook) => hook(self, cx),
            None => cx.stop(),
        }
    }

    fn describe(&self) -> String {
        format!("{} seen", self.seen.len())
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        count(&self.counts.dropped);
        if let Some(hook) = self.script.on_drop.clone() {
            hook();
        }
    }
}

/// A spec of a probe, and its counts.
pub(crate) fn probe(name: &str, script: Script) -> (ChildSpec<Probe>, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let spec = ChildSpec::new(name, {
        let counts = Arc::clone(&counts);
        move || {
            count(&counts.made);
            let (script, counts) = (script.clone(), Arc::clone(&counts));
            Probe {
                script,
                counts,
                in_hand: Vec::new(),
                seen: Vec::new(),
            }
        }
    });
    (spec, counts)
}

/// A probe without a script, started.
pub(crate) fn start_probe(group: &Supervisor, name: &str) -> (Addr<Probe>, Arc<Counts>) {
    let (spec, counts) = probe(name, Script::default());
    (group.start(spec), counts)
}

/// Does anything.
pub(crate) struct Do(Deed);

type Deed = Box<dyn FnOnce(&mut Probe, &mut Context<Probe>) + Send>;

impl Do {
    pub(crate) fn new(what: impl FnOnce(&mut Probe, &mut Context<Probe>) + Send + 'static) -> Self {
        Self(Box::new(what))
    }

    pub(crate) fn panic() -> Self {
        Self::new(|_, _| panic!("told to"))
    }
}

impl Message for Do {
    type Reply = ();
}

impl Handler<Do> for Probe {
    fn handle(&mut self, message: Do, cx: &mut Context<Self>) {
        (message.0)(self, cx);
    }
}

/// Answers with its number; `seen` keeps the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u32);

impl Message for Number {
    type Reply = u32;
}

impl Handler<Number> for Probe {
    fn handle(&mut self, message: Number, _: &mut Context<Self>) -> u32 {
        self.seen.push(message.0);
        message.0
    }
}

/// Asks for the incarnation, ahead of data.
pub(crate) struct DescribeIncarnation;

impl Message for DescribeIncarnation {
    type Reply = u64;
    const LANE: Lane = Lane::Control;
}

impl Handler<DescribeIncarnation> for Probe {
    fn handle(&mut self, _: DescribeIncarnation, cx: &mut Context<Self>) -> u64 {
        cx.incarnation().0
    }
}

/// A request as the hot path makes them: told, with a port; answered by `AnswerAll` or at once.
pub(crate) struct Request {
    pub(crate) number: u32,
    pub(crate) is_kept: bool,
    pub(crate) reply: ReplyPort<u32>,
}

impl Message for Request {
    type Reply = ();

    fn fingerprint(&self) -> u64 {
        u64::from(self.number)
    }

    fn undelivered(self, why: Undelivered) {
        self.reply.refuse(why);
    }
}

impl Handler<Request> for Probe {
    fn handle(&mut self, message: Request, _: &mut Context<Self>) {
        self.seen.push(message.number);
        if message.is_kept {
            self.in_hand.push(message.reply);
        } else {
            message.reply.send(message.number);
        }
    }
}

/// A request that is answered at once, and the future of its answer.
pub(crate) fn request(number: u32) -> (Request, Reply<u32>) {
    let (reply, answer) = reply_channel();
    (
        Request {
            number,
            is_kept: false,
            reply,
        },
        answer,
    )
}

/// A request that stays in hand.
pub(crate) fn kept_request(number: u32) -> (Request, Reply<u32>) {
    let (reply, answer) = reply_channel();
    (
        Request {
            number,
            is_kept: true,
            reply,
        },
        answer,
    )
}

/// The numbers a probe has seen since its last restart.
pub(crate) async fn seen(addr: &Addr<Probe>) -> Vec<u32> {
    ask_probe(addr, |probe, _| probe.seen.clone()).await
}

/// Runs `what` in the probe and gives its result.
pub(crate) async fn ask_probe<T: Send + 'static>(
    addr: &Addr<Probe>,
    what: impl FnOnce(&mut Probe, &mut Context<Probe>) -> T + Send + 'static,
) -> T {
    let (port, reply) = reply_channel();
    addr.tell(Do::new(move |probe, cx| port.send(what(probe, cx))))
        .await
        .expect("probe is up");
    reply.await.expect("probe answers")
}

/// Waits in virtual time until `is_so`.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("waited 100 virtual seconds in vain");
}
