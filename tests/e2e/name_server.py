#!/usr/bin/env python3
"""name_server.py RECORDS: a name server on a loopback port of its own, which it prints first.

RECORDS is read again for each question: lines "NAME A ADDRESS" and "NAME SRV PORT TARGET". Ends with its
input, or with who started it.
"""
import selectors
import socket
import struct
import sys

TYPES = {"A": 1, "SRV": 33}


def pack_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def records(path):
    with open(path, encoding="ascii") as file:
        for line in file:
            name, type_, *value = line.split()
            data = (socket.inet_aton(value[0]) if type_ == "A" else
                    struct.pack(">HHH", 0, 0, int(value[0])) + pack_name(value[1]))
            yield name.lower(), TYPES[type_], data


def read_name(packet):
    """The name of the question, and where its type begins."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode())
        at += packet[at] + 1
    return ".".join(labels).lower(), at + 1


def answer(packet, path):
    name, at = read_name(packet)
    wanted = struct.unpack(">H", packet[at:at + 2])[0]
    known = [record for record in records(path) if record[0] == name]
    found = [data for _, type_, data in known if type_ == wanted]
    code = 0 if known else 3
    return (packet[:2] + struct.pack(">BBHHHH", 0x84, 0x80 | code, 1, len(found), 0, 0)
            + packet[12:at + 4] + b"".join(struct.pack(">HHHIH", 0xc00c, wanted, 1, 1, len(data))
                                           + data for data in found))


def main():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    print(f"127.0.0.1:{server.getsockname()[1]}", flush=True)
    selector = selectors.DefaultSelector()
    selector.register(server, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                if not sys.stdin.readline():
                    return
                continue
            packet, sender = server.recvfrom(4096)
            server.sendto(answer(packet, sys.argv[1]), sender)


if __name__ == "__main__":
    main()
