"""Step 6: readiness. One thread waits for all clients in one call of poll."""

import json
import select
import socket
import sys

# A longer question is a mistake, so that no client fills the memory.
QUESTION_BYTES_MAX = 4096

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
        self.framing = Framing()

    def on_readable(self):
        """Returns whether the connection stays open. It reads once: `poll` has said that this does not wait."""
        received = self.client.recv(4096)
        if received and not self.framing.is_refused:
            self.client.sendall(self.framing.answers(received))
            if self.framing.is_refused:
                # A close with input unread is a reset, so the rest is read, and forgotten, until the client closes.
                self.client.shutdown(socket.SHUT_WR)
        return bool(received)


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
        try:
            stays = connections[number].on_readable()
        except OSError:
            stays = False  # This client has left.
        if not stays:
            poller.unregister(number)
            connections.pop(number).client.close()
