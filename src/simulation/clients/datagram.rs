//! Clients of `sum` over UDP: honest ones that ask again until they are answered, and hostile ones that must never be
//! answered.

use std::time::Duration;

use super::super::agenda::Datagram;
use super::super::network::{Network, address_of, source_for};
use super::super::random::Random;

/// The time that a client waits for an answer before it asks again.
const PATIENCE: Duration = Duration::from_millis(400);

/// A client of `sum` over UDP.
#[derive(Debug)]
pub(in super::super) struct DatagramClient {
    /// Its number among the clients over UDP, from which its address is made.
    number: usize,
    questions: Vec<Question>,
    asked: usize,
    honest: bool,
    port_zero: bool,
    /// The longest pause between two datagrams; an honest client waits for its answer instead.
    pace_millis: u64,
    pub(in super::super) done: bool,
}

#[derive(Debug)]
struct Question {
    request: Vec<u8>,
    answer: Vec<u8>,
    answered: bool,
}

impl DatagramClient {
    pub(in super::super) fn honest(number: usize, random: &mut Random) -> Self {
        let questions = (0..random.within(1..12)).map(|index| {
            // All sums differ, so that an answer identifies its question.
            let (a, b) = (random.within(0..60_000) as i64 * 16, index as i64);
            let request = format!("{{\"A\":{a},\"B\":{b}}}").into_bytes();
            Question { request, answer: format!("{{\"Sum\":{}}}\n", a + b).into_bytes(), answered: false }
        });
        let questions = questions.collect();
        Self { number, questions, asked: 0, honest: true, port_zero: false, pace_millis: 0, done: false }
    }

    /// Makes a client that sends only datagrams without an answer.
    pub(in super::super) fn hostile(number: usize, random: &mut Random) -> Self {
        let garbage: [&[u8]; 8] = [
            b"",
            b"{\"Sum\":3}\n",
            b"{\"Error\":\"sum overflows\"}\n",
            b"{\"A\":1,\"B\":2}{\"A\":1,\"B\":2}",
            b"{\"A\":1}",
            b"\xff\xff\xff\xff",
            b"GET / HTTP/1.1\r\n\r\n",
            &[b' '; 5000],
        ];
        let port_zero = random.strikes(200);
        let questions = (0..random.within(1..40)).map(|_| {
            let request = if port_zero { b"{\"A\":1,\"B\":2}".to_vec() } else { random.pick(&garbage).to_vec() };
            Question { request, answer: Vec::new(), answered: false }
        });
        let questions = questions.collect();
        Self { number, questions, asked: 0, honest: false, port_zero, pace_millis: random.pick(&[0, 30]), done: false }
    }

    /// Sends the next question, or repeats it.
    pub(in super::super) fn go_on(&mut self, awaited: usize, network: &mut Network, random: &mut Random, gone: bool) {
        let Some(socket) = network.sockets.iter().position(|socket| socket.open) else {
            self.done |= gone;
            return network.wake(awaited, PATIENCE);
        };
        let next = self.questions.iter().enumerate().skip(if self.honest { 0 } else { self.asked });
        let Some((index, question)) = next.clone().find(|(_, question)| !question.answered) else {
            self.done = true;
            return;
        };
        self.asked = index + 1;
        let mut from = address_of(self.number);
        if self.port_zero {
            from.set_port(0);
        }
        let to = Some(source_for(self.number));
        let datagram = Datagram { from, to, payload: question.request.clone() };
        network.send_datagram(socket, &datagram);
        network.wake(awaited, if self.honest { PATIENCE } else { random.millis(self.pace_millis) });
    }

    /// Receives a datagram. An error says what is wrong with it.
    pub(in super::super) fn receive(&mut self, payload: &[u8]) -> Result<(), String> {
        let question = self.questions.iter_mut().find(|question| self.honest && question.answer == payload);
        let Some(question) = question else {
            return Err(format!("an unexpected datagram: {:?}", String::from_utf8_lossy(payload)));
        };
        if payload.len() > question.request.len() {
            return Err(format!("a reply of {} bytes to {}", payload.len(), question.request.len()));
        }
        question.answered = true;
        Ok(())
    }
}
