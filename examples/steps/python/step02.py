"""Step 2: a conversation, until the client sends its FIN."""

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


while True:
    client, _ = listener.accept()
    # A read of no bytes is the client's FIN.
    while question := client.recv(4096):
        client.sendall(answer(question))
    client.close()
