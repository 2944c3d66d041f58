"""Step 1: listen, answer, close."""

import json
import socket
import sys

listener = socket.socket()
# A port of a server that has just ended can be used at once.
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(128)

while True:
    client, _ = listener.accept()
    question = json.loads(client.recv(4096))
    answer = {"Sum": question["A"] + question["B"]}
    client.sendall(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
    client.close()
