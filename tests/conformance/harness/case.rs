//! A case as data: what the client sends, how the endpoint answers, and what must hold. Where RFCs leave a choice, a case has
//! several outcomes, each of them legal.
//!
//! Not here: how it is run ([`super::run`]), and what is judged in every case (the faults of [`super::message`]).

use super::got::Got;
use std::time::Duration;

/// One exchange.
#[derive(Clone, Debug)]
pub struct Case {
    pub source: &'static str,
    pub name: String,
    pub protocol: Protocol,
    pub steps: Vec<Step>,
    /// What the endpoint does with the first request, the second, and so on; the last one stays.
    pub answers: Vec<Answer>,
    pub outcomes: Vec<Outcome>,
    /// HTTP/1.1: how many final responses are awaited before the marker is sent. HTTP/2: the streams that must end before.
    pub finals: usize,
    pub streams: Vec<u32>,
    /// How long nothing may come before that is what came.
    pub window: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    /// With preface and SETTINGS sent before the first step.
    H2,
    /// Nothing is sent but the steps.
    H2Bare,
}

/// What the client does.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    /// Waits until a head has come, interim or final.
    AwaitHead,
    /// Waits until the endpoint has so many heads.
    AwaitEndpoint(usize),
    /// Lets what was sent arrive in a packet of its own.
    Gap,
    /// Waits until the proxy has read all frames so far (HTTP/2: PING).
    Barrier,
    /// Leaves.
    Leave,
}

/// What the endpoint does with one request.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// As soon as the head is there.
    pub at_head: Vec<Vec<u8>>,
    /// Once the request is whole.
    pub whole: Vec<Vec<u8>>,
    pub then: Then,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    #[default]
    Keep,
    Close,
    /// Sends back what comes, until the end.
    Echo,
    /// Writes the last piece again and again, for as long as it is taken, 64 MiB at most.
    Endless,
}

/// What must hold, all of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub checks: Vec<Check>,
}

#[derive(Clone, Debug)]
pub enum Check {
    /// The first final response's.
    Status(Vec<u16>),
    /// There was no final response.
    NoAnswer,
    /// Statuses of the interim responses before the first final one.
    Interim(Vec<u16>),
    /// The proxy closed the connection (HTTP/2: or said GOAWAY).
    Closed,
    /// The marker was answered on the same connection.
    Lives,
    /// Nothing came within the window, and the connection stayed.
    Waits,
    /// Requests that the endpoint saw.
    Requests(usize),
    AtMost(usize),
    /// None of those was whole.
    NoneWhole,
    /// The request line at the endpoint.
    Line(String),
    /// The endpoint's only value of that field.
    Sees(String, Vec<u8>),
    SeesNo(String),
    Body(Vec<u8>),
    Trailer(String, String),
    NoTrailer(String),
    /// The response's only value of that field.
    Field(String, Vec<u8>),
    NoField(String),
    /// The response's body, whole.
    Content(Vec<u8>),
    /// The response broke off, and the client can tell.
    BrokenOff,
    ResponseTrailer(String, String),
    NoResponseTrailer(String),
    /// A stream was reset with one of these codes.
    Reset(u32, Vec<u32>),
    /// The connection ended without GOAWAY, or with one that has one of these codes.
    Ended(Vec<u32>),
    /// Whatever else.
    That(&'static str, fn(&Got) -> bool),
}

/// 200 with a body.
pub fn ok() -> Answer {
    answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
}

/// Bytes once the request is whole.
pub fn answer(bytes: impl AsRef<[u8]>) -> Answer {
    Answer { whole: vec![bytes.as_ref().to_vec()], ..Answer::default() }
}

/// The same, and then the end.
pub fn answer_and_close(bytes: impl AsRef<[u8]>) -> Answer {
    Answer { then: Then::Close, ..answer(bytes) }
}

/// Bytes as soon as the head is there, then more once the request is whole.
pub fn at_head(bytes: impl AsRef<[u8]>, then: Answer) -> Answer {
    Answer { at_head: vec![bytes.as_ref().to_vec()], ..then }
}

/// Piece after piece, each in a packet of its own.
pub fn pieces(pieces: &[&str]) -> Answer {
    Answer { whole: pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect(), ..Answer::default() }
}

impl Case {
    pub fn http1(source: &'static str, name: impl Into<String>, bytes: impl AsRef<[u8]>) -> Case {
        Case {
            source,
            name: name.into(),
            protocol: Protocol::Http1,
            steps: vec![Step::Send(bytes.as_ref().to_vec())],
            answers: vec![ok()],
            outcomes: Vec::new(),
            finals: 1,
            streams: vec![1],
            window: Duration::from_secs(4),
        }
    }

    pub fn h2(source: &'static str, name: impl Into<String>, frames: impl IntoIterator<Item = Vec<u8>>) -> Case {
        let bytes: Vec<u8> = frames.into_iter().flatten().collect();
        Case { protocol: Protocol::H2, ..Case::http1(source, name, bytes) }
    }

    /// Without preface and SETTINGS of the harness.
    pub fn h2_bare(source: &'static str, name: impl Into<String>, bytes: impl AsRef<[u8]>) -> Case {
        Case { protocol: Protocol::H2Bare, ..Case::http1(source, name, bytes) }.streams(&[])
    }

    pub fn answer(mut self, answer: Answer) -> Case {
        self.answers = vec![answer];
        self
    }

    pub fn answers(mut self, answers: Vec<Answer>) -> Case {
        self.answers = answers;
        self
    }

    /// A further step.
    pub fn then(mut self, step: Step) -> Case {
        self.steps.push(step);
        self
    }

    pub fn then_send(self, bytes: impl AsRef<[u8]>) -> Case {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    pub fn finals(mut self, finals: usize) -> Case {
        self.finals = finals;
        self
    }

    pub fn streams(mut self, streams: &[u32]) -> Case {
        self.streams = streams.to_vec();
        self
    }

    pub fn window(mut self, milliseconds: u64) -> Case {
        self.window = Duration::from_millis(milliseconds);
        self
    }

    /// A legal outcome; any one of them will do.
    pub fn must(mut self, outcome: Outcome) -> Case {
        self.outcomes.push(outcome);
        self
    }

    pub fn or(self, outcome: Outcome) -> Case {
        self.must(outcome)
    }
}

pub fn outcome() -> Outcome {
    Outcome::default()
}

/// The client gets one of these statuses; the endpoint saw nothing.
pub fn refused(statuses: &[u16]) -> Outcome {
    outcome().check(Check::Requests(0)).status(statuses)
}

/// The same, and the connection is closed.
pub fn refused_and_closed(statuses: &[u16]) -> Outcome {
    refused(statuses).check(Check::Closed)
}

/// The connection is closed without an answer; the endpoint saw nothing.
pub fn cut() -> Outcome {
    outcome().check(Check::Requests(0)).check(Check::NoAnswer).check(Check::Closed)
}

/// The endpoint saw one request, and its answer came.
pub fn passed() -> Outcome {
    outcome().check(Check::Requests(1)).status(&[200]).check(Check::Lives)
}

/// The same, where the connection need not live on.
pub fn passed_once() -> Outcome {
    outcome().check(Check::Requests(1)).status(&[200])
}

impl Outcome {
    pub fn check(mut self, check: Check) -> Outcome {
        self.checks.push(check);
        self
    }

    pub fn status(self, statuses: &[u16]) -> Outcome {
        self.check(Check::Status(statuses.to_vec()))
    }

    pub fn interim(self, statuses: &[u16]) -> Outcome {
        self.check(Check::Interim(statuses.to_vec()))
    }

    pub fn closed(self) -> Outcome {
        self.check(Check::Closed)
    }

    pub fn lives(self) -> Outcome {
        self.check(Check::Lives)
    }

    pub fn requests(self, count: usize) -> Outcome {
        self.check(Check::Requests(count))
    }

    pub fn at_most(self, count: usize) -> Outcome {
        self.check(Check::AtMost(count))
    }

    pub fn line(self, line: &str) -> Outcome {
        self.check(Check::Line(line.to_owned()))
    }

    pub fn sees(self, name: &str, value: impl AsRef<[u8]>) -> Outcome {
        self.check(Check::Sees(name.to_owned(), value.as_ref().to_vec()))
    }

    pub fn sees_no(self, name: &str) -> Outcome {
        self.check(Check::SeesNo(name.to_owned()))
    }

    pub fn body(self, body: impl AsRef<[u8]>) -> Outcome {
        self.check(Check::Body(body.as_ref().to_vec()))
    }

    pub fn trailer(self, name: &str, value: &str) -> Outcome {
        self.check(Check::Trailer(name.to_owned(), value.to_owned()))
    }

    pub fn no_trailer(self, name: &str) -> Outcome {
        self.check(Check::NoTrailer(name.to_owned()))
    }

    pub fn field(self, name: &str, value: impl AsRef<[u8]>) -> Outcome {
        self.check(Check::Field(name.to_owned(), value.as_ref().to_vec()))
    }

    pub fn no_field(self, name: &str) -> Outcome {
        self.check(Check::NoField(name.to_owned()))
    }

    pub fn content(self, body: impl AsRef<[u8]>) -> Outcome {
        self.check(Check::Content(body.as_ref().to_vec()))
    }

    pub fn that(self, what: &'static str, holds: fn(&Got) -> bool) -> Outcome {
        self.check(Check::That(what, holds))
    }
}
