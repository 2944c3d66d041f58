"""Step 3: framing. A question ends at its brace, and not where a read ends."""

import json
import socket
import sys

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

    def answers(self, received):
        """Returns the answers to the questions that end in the received bytes."""
        self.input += received
        answers = bytearray()
        start = 0
        while (end := self.input.find(b"}", start)) >= 0:
            answers += answer(self.input[start : end + 1])
            start = end + 1
        del self.input[:start]
        return answers


while True:
    client, _ = listener.accept()
    framing = Framing()
    while received := client.recv(4096):
        client.sendall(framing.answers(received))
    client.close()
