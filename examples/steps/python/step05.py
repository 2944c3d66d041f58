"""Step 5: a thread for each client. While it waits for its own client, the others go on."""

import json
import socket
import sys
import threading

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


def converse(client):
    framing = Framing()
    while received := client.recv(4096):
        client.sendall(framing.answers(received))
        if framing.is_refused:
            # A close with input unread is a reset, and a reset destroys what is on its way to the client.
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass
            return


def serve(client):
    with client:
        try:
            converse(client)
        except OSError:
            pass  # This client has left.


while True:
    client, _ = listener.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
