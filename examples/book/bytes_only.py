"""A server of sums whose budgets count bytes and connections, but no time. `docs/reactor.md` attacks it."""

import json
import selectors
import socket
import sys

VISIT_ACCEPTS = 4
VISIT_BYTES = 256 * 1024
READ_BYTES = 64 * 1024
LINE_BYTES_MAX = 4096


def answer(line):
    try:
        numbers = json.loads(line)
        return b'{"Sum":%d}\n' % (numbers["A"] + numbers["B"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return b"no\n"


class Connection:
    def __init__(self, stream):
        stream.setblocking(False)
        self.stream = stream
        self.line = b""
        self.outbox = b""

    def visit(self):
        """Reads and answers until the budget is used up. Returns whether the connection stays open."""
        received = 0
        try:
            while received < VISIT_BYTES:
                # Nothing is read while output is pending.
                while self.outbox:
                    self.outbox = self.outbox[self.stream.send(self.outbox):]
                read = self.stream.recv(READ_BYTES)
                received += len(read)
                *lines, self.line = (self.line + read).split(b"\n")
                if not read or len(self.line) > LINE_BYTES_MAX:
                    return False
                self.outbox = b"".join(map(answer, lines))
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True


def accept(listener, selector):
    for _ in range(VISIT_ACCEPTS):
        try:
            stream, _ = listener.accept()
        except OSError:
            return
        selector.register(stream, selectors.EVENT_READ, Connection(stream))


def serve(listener):
    listener.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            connection = key.data
            if connection is None:
                accept(listener, selector)
            elif connection.visit():
                interest = selectors.EVENT_WRITE if connection.outbox else selectors.EVENT_READ
                selector.modify(connection.stream, interest, connection)
            else:
                selector.unregister(connection.stream)
                connection.stream.close()


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
    print("listening sum tcp://%s:%s" % listener.getsockname(), flush=True)
    serve(listener)
