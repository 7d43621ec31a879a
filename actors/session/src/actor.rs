//! The session: one client connection. It owns the socket, starts requests by the pipelining rule,
//! collects answers and writes them together, in order. What a request means is in `handlers`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kabuki_runtime::{
    Actor, Context, Fault, Handler, Message, Recipient, Refused, Standstill, Undelivered,
};
use tokio::time::Instant;

use crate::connections::ConnectionPermit;
use crate::handlers::fetch::FetchDesk;
use crate::handlers::produce::ProduceDesk;
use crate::handlers::{self, Started};
use crate::memory::MemoryShare;
use crate::messages::{IdleCheckDue, JobAnswered, RoomFound};
use crate::request::{Answer, Incoming, Received, RequestContext};
use crate::routes::Routes;
use crate::services::SessionServices;
use crate::socket::Socket;
use crate::state::closings::CloseSort;
use crate::state::pipeline::{Pipeline, PipelineLimits, Ticket};

/// Requests of one connection in hand. librdkafka keeps up to a million in flight if it is let; more
/// than this adds no throughput, only memory.
const REQUESTS_MAX: usize = 256;

/// Frame bytes of one connection in hand: sixteen of the largest batches a topic takes by default.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Nothing is started while so many answer bytes wait for the client to take them.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;

/// Reads of one wake-up before the answers to what was read, and others on the arbiter, get a turn.
const READS_PER_WAKE_MAX: usize = 16;

/// A client that takes nothing of its answers for so long is closed once the memory gets tight.
const STALL_MAX: Duration = Duration::from_secs(10);

/// An accepted connection on its way to the arbiter of its session.
pub(crate) struct Connection {
    pub(crate) number: u64,
    pub(crate) listener: Arc<str>,
    pub(crate) stream: std::net::TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) permit: ConnectionPermit,
}

/// How much longer a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Open,
    /// The client sends no more, or the node stops: what runs is answered, nothing else starts.
    Draining,
    /// What is queued for the socket is still written; nothing is answered any more.
    Closing,
}

/// One client connection.
pub struct Session {
    pub(crate) services: Arc<SessionServices>,
    pub(crate) routes: Routes,
    pub(crate) produce: ProduceDesk,
    pub(crate) fetch: FetchDesk,
    pub(crate) pipeline: Pipeline<Incoming, Answer>,
    listener: Arc<str>,
    peer: SocketAddr,
    /// Counts the connection until it is dropped.
    _permit: ConnectionPermit,
    stream: Option<std::net::TcpStream>,
    socket: Option<Socket>,
    share: MemoryShare,
    course: Course,
    /// The stream holds no further frame; what came before is still worked on.
    is_unreadable: bool,
    /// Sends that wait for room in a mailbox. Nothing starts meanwhile, or it would overtake them.
    waiting_sends: usize,
    /// Threads whose standstill this session is told of.
    pub(crate) watched_threads: Vec<u64>,
    last_active: Instant,
    /// The socket was not asked for more because there was no room; to be asked once there is.
    is_read_paused: bool,
    /// The request in hand waits for other clients.
    is_parked: bool,
    requests_seen: u64,
    client_id: Arc<str>,
}

impl Session {
    pub(crate) fn new(connection: Connection, services: Arc<SessionServices>) -> Self {
        let Connection {
            number,
            listener,
            stream,
            peer,
            permit,
        } = connection;
        let limits = PipelineLimits {
            requests_max: REQUESTS_MAX,
            bytes_max: REQUEST_BYTES_MAX,
        };
        Self {
            routes: Routes::new(&services),
            produce: ProduceDesk::default(),
            fetch: FetchDesk::new(number),
            pipeline: Pipeline::new(limits),
            share: MemoryShare::new(services.memory.clone(), number),
            services,
            listener,
            peer,
            _permit: permit,
            stream: Some(stream),
            socket: None,
            course: Course::Open,
            is_unreadable: false,
            waiting_sends: 0,
            watched_threads: Vec::new(),
            last_active: Instant::now(),
            is_read_paused: false,
            is_parked: false,
            requests_seen: 0,
            client_id: "".into(),
        }
    }

    /// Sends a message that carries its own reply port. A refusal comes back through the port; when
    /// the mailbox is full, the send waits, and with it whatever would come after it, but not for a
    /// thread that stands still.
    pub(crate) fn send<M: Message>(
        &mut self,
        recipient: &Recipient<M>,
        message: M,
        standstill: Option<&Standstill>,
        cx: &mut Context<Self>,
    ) {
        let Err(Refused { why, message }) = recipient.try_tell(message) else {
            return;
        };
        if why != Undelivered::Full {
            message.undelivered(why);
            return;
        }
        self.waiting_sends += 1;
        let recipient = recipient.clone();
        let standstill = standstill.cloned();
        let sent = async move {
            let still = async {
                match &standstill {
                    Some(standstill) => standstill.stands_still().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                told = recipient.tell(message) => {
                    if let Err(Refused { why, message }) = told {
                        message.undelivered(why);
                    }
                }
                // There will be no room: what was to be sent is dropped, which its port tells.
                () = still => {}
            }
        };
        cx.spawn(sent, |()| RoomFound);
    }

    fn is_reading(&self) -> bool {
        self.course == Course::Open && !self.is_unreadable
    }

    /// How much may be taken from the socket now; if nothing, what comes free wakes this session.
    fn readable_bytes(&self, waker: &std::task::Waker) -> usize {
        let Some(socket) = &self.socket else {
            return 0;
        };
        let has_room = self.pipeline.has_room() && socket.unsent_bytes() < UNSENT_BYTES_MAX;
        if !self.is_reading() || !has_room {
            return 0;
        }
        self.share.readable_bytes(socket.unread_bytes() > 0, waker)
    }

    fn fill(&mut self, task: &mut std::task::Context<'_>, cx: &mut Context<Self>) {
        for _ in 0..READS_PER_WAKE_MAX {
            let readable_bytes = self.readable_bytes(task.waker());
            self.is_read_paused = readable_bytes == 0;
            if self.is_read_paused {
                return;
            }
            let Some(socket) = &mut self.socket else {
                return;
            };
            match socket.poll_fill(readable_bytes, task) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => {
                    self.drain("client closed the connection", cx);
                    return;
                }
                Poll::Ready(Ok(_)) => {
                    self.last_active = cx.now();
                    self.take_frames();
                    self.account();
                }
                Poll::Ready(Err(error)) => {
                    self.break_off(&error, cx);
                    return;
                }
            }
        }
        cx.wake();
    }

    fn take_frames(&mut self) {
        while self.is_reading() && self.pipeline.has_room() {
            let Some(socket) = &mut self.socket else {
                return;
            };
            match socket.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => {
                    self.share.frame_complete();
                    let bytes = frame.len();
                    let incoming = Incoming::read(frame);
                    self.requests_seen += 1;
                    let overlap = incoming.overlap();
                    self.pipeline.push(incoming, overlap, bytes);
                }
                Err(refused) => {
                    // The rest of the stream has no frames. Closed once what came before is answered.
                    let incoming = Incoming::Unreadable {
                        cause: refused.to_string(),
                    };
                    let overlap = incoming.overlap();
                    self.pipeline.push(incoming, overlap, 0);
                    self.is_unreadable = true;
                    return;
                }
            }
        }
    }

    /// Starts what may start now; true if anything did.
    fn start_ready(&mut self, cx: &mut Context<Self>) -> bool {
        let mut has_started = false;
        while self.may_start(cx.waker()) {
            let Some((ticket, incoming)) = self.pipeline.start_next() else {
                break;
            };
            has_started = true;
            let growth_bytes = incoming.growth_bytes();
            match incoming {
                Incoming::Request(received) => {
                    self.start(ticket, received, growth_bytes, cx);
                }
                Incoming::Unreadable { cause } => {
                    let sort = CloseSort::Unreadable;
                    self.pipeline.answer(ticket, Answer::Close { sort, cause });
                }
            }
        }
        has_started
    }

    fn may_start(&self, waker: &std::task::Waker) -> bool {
        let Some(socket) = &self.socket else {
            return false;
        };
        // While the memory is spent, a client that does not take its answer gets no second one.
        let unsent_bytes_max = match self.share.is_budget_spent() {
            true => 1,
            false => UNSENT_BYTES_MAX,
        };
        self.course != Course::Closing
            && self.waiting_sends == 0
            && self.produce.costly.is_empty()
            && socket.unsent_bytes() < unsent_bytes_max
            && self.pipeline.startable().is_none_or(|incoming| {
                // Next to others only what fits: many that are small for themselves may not be together.
                let growth_bytes = incoming.growth_bytes();
                match self.pipeline.is_any_running() {
                    true => self.share.has_free(growth_bytes),
                    false => self.share.may_start(growth_bytes, waker),
                }
            })
    }

    fn start(
        &mut self,
        ticket: Ticket,
        received: Received,
        growth_bytes: usize,
        cx: &mut Context<Self>,
    ) {
        self.routes.refresh(&self.services);
        let header = &received.header;
        let client_id = header.client_id.as_deref().unwrap_or_default();
        // Nearly every client keeps its name, so the text is shared by all its requests.
        if *self.client_id != *client_id {
            self.client_id = client_id.into();
        }
        let context = RequestContext {
            services: self.services.clone(),
            listener: self.listener.clone(),
            peer: self.peer,
            version: header.api_version,
            correlation_id: header.correlation_id,
            client_id: self.client_id.clone(),
        };
        match handlers::start(received, &context) {
            Ok(Started::Answered(answer)) => {
                self.pipeline.answer(ticket, answer);
                self.end_turn();
            }
            Ok(Started::Job(job)) => {
                self.pipeline.add_bytes(ticket, growth_bytes);
                // The other sessions are to see it before they start theirs.
                self.account();
                cx.spawn(job, move |answer| JobAnswered { ticket, answer });
            }
            Ok(Started::Parked { job, held_bytes }) => {
                self.pipeline.add_bytes(ticket, held_bytes);
                // What it took to read it is given back: it may wait for minutes.
                self.share.request_answered();
                self.account();
                self.is_parked = true;
                cx.spawn(job, move |answer| JobAnswered { ticket, answer });
            }
            Ok(Started::Produce(request)) => self.start_produce(ticket, request, context, cx),
            Ok(Started::Fetch(request)) => self.start_fetch(ticket, request, context, cx),
            Err(refused) => {
                let (sort, cause) = (refused.sort(), refused.to_string());
                self.pipeline.answer(ticket, Answer::Close { sort, cause });
                self.end_turn();
            }
        }
    }

    /// A request is answered: one that is over the memory budget may start elsewhere, unless it is another
    /// one of this connection that is.
    fn end_turn(&self) {
        if !self.pipeline.is_any_running() {
            self.share.request_answered();
        }
    }

    /// Moves answers whose turn has come to the socket; true if there were any.
    fn collect_answers(&mut self, cx: &mut Context<Self>) -> bool {
        let mut has_any = false;
        while self.course != Course::Closing
            && let Some(answer) = self.pipeline.take_answer()
        {
            has_any = true;
            match answer {
                Answer::Frame(frame) => {
                    if let Some(socket) = &mut self.socket {
                        socket.push(frame.into_chunks());
                    }
                }
                Answer::Nothing => {}
                Answer::Close { sort, cause } => {
                    if self.course == Course::Open {
                        self.note_closing(sort, &cause, cx);
                    }
                    self.course = Course::Closing;
                }
            }
        }
        has_any
    }

    fn flush(&mut self, cx: &mut Context<Self>) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        if socket.unsent_bytes() == 0 {
            return;
        }
        let waker = cx.waker().clone();
        match socket.poll_flush(&mut std::task::Context::from_waker(&waker)) {
            Poll::Ready(Ok(_)) => self.last_active = cx.now(),
            Poll::Pending => {}
            Poll::Ready(Err(error)) => self.break_off(&error, cx),
        }
    }

    /// The client sends no more or the node stops: what has not started is dropped (an old commit
    /// must not come after a newer one of the client's next connection), what runs is answered.
    /// Batches of a producer that wrote and left, as with acks=0, have started before.
    fn drain(&mut self, cause: &str, cx: &mut Context<Self>) {
        if self.course != Course::Open {
            return;
        }
        slog::debug!(cx.log(), "connection ends"; "peer" => %self.peer, "cause" => cause);
        self.start_ready(cx);
        self.course = Course::Draining;
        self.pipeline.drop_queued();
        self.end_parked_fetch();
    }

    fn note_closing(&self, sort: CloseSort, cause: &str, cx: &Context<Self>) {
        let who = format!("{} {:?}", self.peer, self.client_id);
        let closings = &self.services.closings;
        closings.note(cx.log(), cx.now(), sort, &who, cause);
    }

    fn break_off(&mut self, error: &std::io::Error, cx: &mut Context<Self>) {
        slog::debug!(cx.log(), "connection lost"; "peer" => %self.peer, "cause" => %error);
        self.socket = None;
        self.course = Course::Closing;
        cx.stop();
    }

    pub(crate) fn account(&mut self) {
        let (unread, unsent) = match &self.socket {
            Some(socket) => (socket.unread_bytes(), socket.unsent_bytes()),
            None => (0, 0),
        };
        let held = self.pipeline.bytes() + self.fetch.held_bytes();
        self.share.set(unread + unsent + held);
    }

    fn is_done(&self) -> bool {
        let is_sent = self
            .socket
            .as_ref()
            .is_none_or(|socket| socket.unsent_bytes() == 0);
        match self.course {
            Course::Open => false,
            Course::Draining => is_sent && (self.pipeline.is_empty() || self.is_parked),
            Course::Closing => is_sent,
        }
    }

    fn arm_idle_check(&self, cx: &mut Context<Self>) {
        let idle_max = self.services.limits.idle_max;
        let next = idle_max.map_or(STALL_MAX, |idle_max| idle_max.min(STALL_MAX));
        cx.tell_after(next, IdleCheckDue);
    }
}

impl Actor for Session {
    fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Fault> {
        let stream = self.stream.take().expect("a session starts once");
        self.socket = Some(Socket::new(stream, self.services.limits.request_bytes_max)?);
        self.arm_idle_check(cx);
        Ok(())
    }

    fn poll_io(&mut self, task: &mut std::task::Context<'_>, cx: &mut Context<Self>) {
        self.fill(task, cx);
    }

    fn settle(&mut self, cx: &mut Context<Self>) {
        loop {
            // First, because room in the outbox is what lets the next requests start; what is left
            // after it wakes this actor when the client has taken some.
            self.flush(cx);
            self.take_frames();
            let has_started = self.start_ready(cx);
            let has_fetched = self.advance_fetch(cx);
            let has_answered = self.collect_answers(cx);
            if !(has_started || has_fetched || has_answered) {
                break;
            }
        }
        if let Some(socket) = &mut self.socket {
            socket.rest(self.pipeline.is_empty());
        }
        self.account();
        if self.is_done() {
            cx.stop();
        } else if self.is_read_paused && self.readable_bytes(cx.waker()) > 0 {
            cx.wake();
        }
    }

    fn stop_requested(&mut self, cx: &mut Context<Self>) {
        self.drain("node stops", cx);
    }

    fn describe(&self) -> String {
        let (peer, in_hand) = (self.peer, self.pipeline.len());
        let (client_id, requests) = (&self.client_id, self.requests_seen);
        let unsent = self.socket.as_ref().map_or(0, Socket::unsent_bytes);
        format!("{peer} client={client_id} requests={requests} in_hand={in_hand} unsent={unsent}")
    }
}

impl Handler<JobAnswered> for Session {
    fn handle(&mut self, message: JobAnswered, _cx: &mut Context<Self>) {
        self.is_parked = false;
        self.pipeline.answer(message.ticket, message.answer);
        self.end_turn();
    }
}

impl Handler<RoomFound> for Session {
    fn handle(&mut self, _message: RoomFound, _cx: &mut Context<Self>) {
        self.waiting_sends -= 1;
    }
}

impl Handler<IdleCheckDue> for Session {
    fn handle(&mut self, _tick: IdleCheckDue, cx: &mut Context<Self>) {
        let now = cx.now();
        let idle = now - self.last_active;
        if self
            .services
            .limits
            .idle_max
            .is_some_and(|idle_max| idle >= idle_max)
        {
            self.note_closing(CloseSort::Idle, "idle", cx);
            cx.stop();
            return;
        }
        // Answers that are not taken, and a frame that stays half sent, hold memory of others.
        let is_client_due = self.socket.as_ref().is_some_and(|socket| {
            socket.unsent_bytes() > 0 || (socket.unread_bytes() > 0 && self.pipeline.is_empty())
        });
        // A client that has gone is not seen while nothing is read for want of memory.
        let has_gone =
            self.is_read_paused && self.socket.as_ref().is_some_and(Socket::is_read_closed);
        if is_client_due && idle >= STALL_MAX && (has_gone || self.share.is_budget_tight()) {
            let cause = "client does not move while the memory is tight";
            self.note_closing(CloseSort::Stalled, cause, cx);
            cx.stop();
            return;
        }
        self.give_up_silent_reads(now);
        self.arm_idle_check(cx);
    }
}
