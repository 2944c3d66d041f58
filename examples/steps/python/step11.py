"""Step 11: budgets. In a turn each client is read for a little, and then it is the turn of the next one."""

import json
import select
import socket
import sys
import time

# A longer question is a mistake, so that no client fills the memory.
QUESTION_BYTES_MAX = 4096
READ_BYTES = 16 * 1024
# In one turn, for one client. What is left in the kernel makes `poll` return at once in the next turn.
READS_PER_TURN = 2
# From here on nothing more is read; the answers to one read may come on top.
OUTBOX_BYTES_MAX = 64 * 1024
# Until the next attempt to accept after EMFILE.
PAUSE_MS = 100
# Progress is a whole question, or bytes that the kernel has taken.
PROGRESS_SECONDS = 2

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(128)


def answer(question):
    numbers = json.loads(question)
    return b'{"Sum":%d}\n' % (numbers["A"] + numbers["B"])


class Framing:
    """Collects input, and takes whole questions from it."""

    def __init__(self):
        self.input = bytearray()
        self.is_refused = False

    def answers(self, received):
        """Returns the answers to the questions that end in the received bytes; after a mistake, an error line."""
        self.input += received
        answers = bytearray()
        start = 0
        try:
            while (end := self.input.find(b"}", start)) >= 0:
                answers += answer(self.input[start : end + 1])
                start = end + 1
            self.input = self.input[start:].lstrip()
            if len(self.input) > QUESTION_BYTES_MAX:
                raise ValueError
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            self.is_refused = True
            answers += b'{"Error":"not a question"}\n'
        return answers


class Connection:
    def __init__(self, client):
        self.client = client
        self.client.setblocking(False)
        self.framing = Framing()
        self.outbox = bytearray()
        self.has_ended = False
        self.is_shut = False
        self.extend()

    def extend(self):
        self.deadline = time.monotonic() + PROGRESS_SECONDS

    def may_read(self):
        return not self.has_ended and len(self.outbox) < OUTBOX_BYTES_MAX

    def events(self):
        """What to wait for: room only while there is something to send, because there nearly always is room."""
        return (select.POLLIN if self.may_read() else 0) | (select.POLLOUT if self.outbox else 0)

    def on_ready(self):
        """Reads and sends without waiting, within its budget. Returns whether the connection stays open."""
        self.flush()
        for _ in range(READS_PER_TURN):
            if not self.may_read():
                break
            try:
                received = self.client.recv(READ_BYTES)
            except BlockingIOError:
                break
            if not received:
                self.has_ended = True
            elif not self.framing.is_refused:
                answers = self.framing.answers(received)
                if answers:
                    # Not for each byte: a slow client would keep its place for ever.
                    self.extend()
                self.outbox += answers
                self.flush()
        return not self.has_ended or bool(self.outbox)

    def flush(self):
        try:
            while self.outbox:
                sent = self.client.send(self.outbox)
                del self.outbox[:sent]
                self.extend()
        except BlockingIOError:
            return
        if self.framing.is_refused and not self.is_shut:
            # A close with input unread is a reset, so the rest is read, and forgotten, until the client closes.
            self.is_shut = True
            self.client.shutdown(socket.SHUT_WR)


def close(number):
    poller.unregister(number)
    connections.pop(number).client.close()


def wait_ms():
    """The time until the next thing to do without an event. `None` is for ever."""
    now = time.monotonic()
    waits = [1000 * max(connection.deadline - now, 0) + 1 for connection in connections.values()]
    return min(waits + [PAUSE_MS] * is_full, default=None)


def accept_all():
    """Accepts the waiting clients. Returns whether the rest of them has to wait for a descriptor."""
    while True:
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return False
        except ConnectionAbortedError:
            continue  # This client has left the accept queue.
        except OSError:
            return True  # EMFILE, ENFILE, ENOBUFS, ENOMEM: what is missing may be there later.
        connections[client.fileno()] = Connection(client)
        poller.register(client, select.POLLIN)


listener.setblocking(False)
poller = select.poll()
poller.register(listener, select.POLLIN)
connections = {}
is_full = False
while True:
    # While it is full, the listener stays ready: to wait for it would be a busy loop.
    for number, _ in poller.poll(wait_ms()):
        if number == listener.fileno():
            continue
        connection = connections[number]
        try:
            stays = connection.on_ready()
        except OSError:
            stays = False  # This client has left.
        if stays:
            poller.modify(number, connection.events())
        else:
            close(number)
    now = time.monotonic()
    for number in [number for number, connection in connections.items() if connection.deadline <= now]:
        close(number)
    # In each turn, because a connection that closed may have freed a descriptor.
    is_full = accept_all()
    poller.modify(listener, 0 if is_full else select.POLLIN)
