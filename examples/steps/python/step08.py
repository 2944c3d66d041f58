"""Step 8: back-pressure. While the outbox is full, nothing is read, so that TCP slows the client down."""

import json
import select
import socket
import sys

# A longer question is a mistake, so that no client fills the memory.
QUESTION_BYTES_MAX = 4096
READ_BYTES = 16 * 1024
# From here on nothing more is read; the answers to one read may come on top.
OUTBOX_BYTES_MAX = 64 * 1024

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

    def may_read(self):
        return not self.has_ended and len(self.outbox) < OUTBOX_BYTES_MAX

    def events(self):
        """What to wait for: room only while there is something to send, because there nearly always is room."""
        return (select.POLLIN if self.may_read() else 0) | (select.POLLOUT if self.outbox else 0)

    def on_ready(self):
        """Goes on until nothing is possible without waiting. Returns whether the connection stays open."""
        self.flush()
        while self.may_read():
            try:
                received = self.client.recv(READ_BYTES)
            except BlockingIOError:
                break
            if not received:
                self.has_ended = True
            elif not self.framing.is_refused:
                self.outbox += self.framing.answers(received)
                self.flush()
        return not self.has_ended or bool(self.outbox)

    def flush(self):
        try:
            while self.outbox:
                sent = self.client.send(self.outbox)
                del self.outbox[:sent]
        except BlockingIOError:
            return
        if self.framing.is_refused and not self.is_shut:
            # A close with input unread is a reset, so the rest is read, and forgotten, until the client closes.
            self.is_shut = True
            self.client.shutdown(socket.SHUT_WR)


poller = select.poll()
poller.register(listener, select.POLLIN)
connections = {}
while True:
    for number, _ in poller.poll():
        if number == listener.fileno():
            client, _ = listener.accept()
            connections[client.fileno()] = Connection(client)
            poller.register(client, select.POLLIN)
            continue
        connection = connections[number]
        try:
            stays = connection.on_ready()
        except OSError:
            stays = False  # This client has left.
        if stays:
            poller.modify(number, connection.events())
        else:
            poller.unregister(number)
            connections.pop(number).client.close()
