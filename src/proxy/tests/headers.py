#!/usr/bin/env python3
"""Makes headers.txt: what an independent codec says of 40 headers, of every beginning of each, and of every change of one byte.

    python3 -m venv codec && codec/bin/pip install proxy-protocol==0.11.3 crc32c==2.7.1
    codec/bin/python headers.py > headers.txt

Where the codec takes what the specification forbids, or what this server refuses, a rule below says so by name. The last lines
of the table count how often each rule decided. A line of the table has a header in hexadecimal, what is said of it, and the
checksum of what is said of its beginnings, and then of its 255 changes at each position.
"""

import struct
import sys

from proxyprotocol import ProxyProtocolIncompleteError
from proxyprotocol.result import is_ipv4, is_ipv6, is_local
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2
from proxyprotocol.checksum import crc32c

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
rules = {}


def rule(name, verdict="no"):
    rules[name] = rules.get(name, 0) + 1
    return verdict


def address(pair):
    ip, port = pair
    return f"{ip.packed.hex()}:{port}"


def told(result, count):
    if is_local(result):
        return f"local {count}"
    if is_ipv4(result) or is_ipv6(result):
        return f"{address(result.source)} {address(result.dest)} {count}"
    return f"unknown {count}"


def line(data):
    end = data.find(b"\n") + 1
    if not end:
        if len(data) >= 107:
            return rule("a line has 107 bytes at most")
        at = data.find(b"\r")
        return rule("a line ends with CR LF") if 0 <= at < len(data) - 1 else "more"
    text = data[:end]
    try:
        verdict = told(ProxyProtocolV1().unpack(text), end)
    except ValueError:
        return "no"
    if end > 107:
        return rule("a line has 107 bytes at most")
    if b"\r" in text[:-2]:
        return rule("a line ends with CR LF")
    fields = text[6:-2].split(b" ")
    if fields[0] != b"UNKNOWN":
        if any(b"%" in field for field in fields):
            return rule("an address has no zone")
        if any(str(int(port)).encode() != port for port in fields[3:]):
            return rule("a port has digits only, and no zero in front")
    return verdict


def records(data, tls=False):
    """Whether data consists of records."""
    seen = set()
    while data:
        size = 3 + int.from_bytes(data[1:3], "big")
        if len(data) < size or len(data) < 3:
            return False
        kind, value, data = data[0], data[3:size], data[size:]
        if tls:
            continue
        if kind == 3 and (len(value) != 4 or 3 in seen):
            return False
        if kind == 5 and len(value) > 128:
            return False
        if kind == 0x20 and (len(value) < 5 or not records(value[5:], tls=True)):
            return False
        seen.add(kind)
    return True


def binary(data):
    if len(data) < 16:
        return "more"
    if data[12] not in (0x20, 0x21):
        try:
            ProxyProtocolV2().unpack(data[:16] + bytes(300))
        except (ValueError, ProxyProtocolIncompleteError):
            return "no"
        return rule("only two commands of version 2")
    local, count = data[12] == 0x20, 16 + int.from_bytes(data[14:16], "big")
    sizes = {0: 0, 0x11: 12, 0x21: 36, 0x31: 216}
    if not local and data[13] not in sizes:
        return rule("streams over IPv4, IPv6 or Unix sockets only")
    if count > 4096:
        return rule("4 KiB at most")
    size = 0 if local else sizes[data[13]]
    if count < 16 + size:
        return rule("all addresses of the family")
    if len(data) < count:
        return "more"
    if local:
        return rule("what follows LOCAL is skipped", f"local {count}")
    try:
        verdict = told(ProxyProtocolV2().unpack(data[:count]), count)
    except UnicodeDecodeError:
        return rule("a path may have any bytes", f"unknown {count}")
    except (ValueError, struct.error):
        return "no"
    if size and not records(data[16 + size : count]):
        return rule("records fill the header, and have the lengths of the specification")
    return verdict


def verdict(data):
    if data[:12] == SIGNATURE[: len(data)]:
        return binary(data)
    if data[:6] == b"PROXY "[: len(data)]:
        return line(data)
    return "no"


def checksum(verdicts):
    """FNV-1a, 32 bits."""
    value = 0x811C9DC5
    for byte in "\n".join(verdicts).encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{value:08x}"


def record(kind, value):
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def version_2(family, addresses, *tail, command=0x21, crc=False):
    # The codec computes the checksum as if records were sorted by type, so they are.
    empty = [record(3, bytes(4))] if crc else []
    rest = addresses + b"".join(sorted([*tail, *empty]))
    head = SIGNATURE + bytes([command, family]) + len(rest).to_bytes(2, "big") + rest
    return head.replace(record(3, bytes(4)), record(3, crc32c(head).to_bytes(4, "big"))) if crc else head


V4 = bytes([192, 0, 2, 7, 203, 0, 113, 1, 0x9C, 0x40, 0, 80])
V6 = bytes.fromhex("20010db8000000000000000000000007" "20010db8000000000000000000000001" "ffff" "0000")
MAPPED = bytes(10) + b"\xff\xff" + V4[:4] + bytes(15) + b"\1" + V4[8:]
UNIX = b"/run/a".ljust(108, b"\0") + b"@b".ljust(108, b"\0")
TLS = record(0x20, b"\1\0\0\0\0" + record(0x21, b"TLSv1.3") + record(0x22, b"alice"))

HEADERS = [
    b"PROXY TCP4 192.0.2.7 203.0.113.1 40000 80\r\n",
    b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
    b"PROXY TCP4 10.0.0.1 10.0.0.10 1 9\r\n",
    b"PROXY TCP4 127.0.0.1 127.0.0.1 10000 1000\r\n",
    b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n",
    b"PROXY TCP6 :: ::1 0 1\r\n",
    b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:203.0.113.1 40000 80\r\n",
    b"PROXY TCP6 2001:DB8:0:0:0:0:0:7 2001:0db8:0000:0000:0000:0000:0000:0001 65535 10\r\n",
    b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
    b"PROXY TCP6 fe80::1 fe80::2 5 6\r\n",
    b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN \r\n",
    b"PROXY UNKNOWN 192.0.2.7 203.0.113.1 40000 80\r\n",
    b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n",
    version_2(0, b"", command=0x20),
    version_2(0x11, V4, command=0x20),
    version_2(0, b"\1\2\3\4", command=0x20),
    version_2(0, b""),
    version_2(0, b"ignored"),
    version_2(0x11, V4),
    version_2(0x11, bytes(12)),
    version_2(0x11, b"\xff" * 12),
    version_2(0x11, V4, record(4, b"")),
    version_2(0x11, V4, record(4, bytes(7))),
    version_2(0x11, V4, record(1, b"h2")),
    version_2(0x11, V4, record(2, b"example.org")),
    version_2(0x11, V4, record(5, b"0123456789abcdef")),
    version_2(0x11, V4, record(0x30, b"blue")),
    version_2(0x11, V4, record(0xE0, b"own")),
    version_2(0x11, V4, TLS),
    version_2(0x11, V4, crc=True),
    version_2(0x11, V4, record(2, b"a"), TLS, crc=True),
    version_2(0x11, V4, record(5, b"x" * 128)),
    version_2(0x21, V6),
    version_2(0x21, MAPPED),
    version_2(0x21, V6, record(4, b"")),
    version_2(0x21, V6, record(2, b"example.org"), record(5, b"1")),
    version_2(0x21, V6, crc=True),
    version_2(0x21, V6, TLS, crc=True),
    version_2(0x31, UNIX, record(2, b"a")),
]

assert len(HEADERS) == 40
for header in HEADERS:
    said = verdict(header + b"rest")
    parts = [checksum([verdict(header[:end]) for end in range(1, len(header))])]
    for at in range(len(header)):
        changed = bytearray(header + b"rest")
        verdicts = []
        for value in range(256):
            if value != header[at]:
                changed[at] = value
                verdicts.append(verdict(bytes(changed)))
        parts.append(checksum(verdicts))
    print(header.hex(), said.replace(" ", ","), *parts)
for name, count in sorted(rules.items()):
    print(f"# {count}: {name}")
    print(count, name, file=sys.stderr)
