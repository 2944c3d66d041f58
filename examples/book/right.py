"""The small reactor in Python: it answers every byte in upper case, like `examples/tools/broken/right.rs`."""

import selectors
import socket
import sys

READ_BYTES = 16 * 1024
# Until the next attempt to accept, while descriptors are missing.
PAUSE_SECONDS = 0.1


class Uppercase:
    def __init__(self, stream):
        stream.setblocking(False)
        self.stream = stream
        self.outbox = b""

    def converse(self):
        """Returns whether the connection stays open: either there is nothing to read, or the socket takes no more
        output. Until it does, nothing is read, so that at most one buffer is pending."""
        self.flush()
        while not self.outbox:
            try:
                received = self.stream.recv(READ_BYTES)
            except BlockingIOError:
                break
            if not received:
                return False
            self.outbox = received.upper()
            self.flush()
        return True

    def flush(self):
        try:
            while self.outbox:
                sent = self.stream.send(self.outbox)
                self.outbox = self.outbox[sent:]
        except BlockingIOError:
            pass

    def interest(self):
        """What to wait for: room only while there is output, because there nearly always is room."""
        return selectors.EVENT_WRITE if self.outbox else selectors.EVENT_READ


def serve(listener, open_connection):
    """The loop: wait, serve the connections with events, accept new connections."""
    listener.setblocking(False)
    selector = selectors.DefaultSelector()
    is_full = False
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select(PAUSE_SECONDS if is_full else None):
            connection = key.data
            if connection is None:
                continue
            try:
                stays = connection.converse()
            except OSError:
                stays = False  # An error is about this connection, and ends nothing else.
            if stays:
                selector.modify(connection.stream, connection.interest(), connection)
            else:
                selector.unregister(connection.stream)
                connection.stream.close()
        was_full, is_full = is_full, False
        while True:
            try:
                stream, _ = listener.accept()
            except BlockingIOError:
                break
            except ConnectionAbortedError:
                continue  # This client has left the accept queue.
            except OSError:
                is_full = True
                break
            connection = open_connection(stream)
            selector.register(stream, connection.interest(), connection)
        # With clients in its queue the listener stays ready, and to wait for it would be a busy loop.
        if is_full and not was_full:
            selector.unregister(listener)
        elif was_full and not is_full:
            selector.register(listener, selectors.EVENT_READ)


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
    print("listening uppercase tcp://%s:%s" % listener.getsockname(), flush=True)
    serve(listener, Uppercase)
