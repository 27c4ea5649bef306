#!/usr/bin/python3
"""Reads the test vectors as a client in another language would: docs/protocol.md, and protobuf's own
Python library for za.Envelope. Nothing here is taken from the C code.

check_vectors.py <protoc> <proto dir> <vectors>
"""

import importlib
import pathlib
import subprocess
import sys
import tempfile

PROTOC, PROTO_DIR, VECTORS = sys.argv[1:4]
MESSAGE, RUN, BULK_BEGIN, BULK_CHUNK = 0x85, 0x86, 0x87, 0x88
TABLE = 256


def envelope_class():
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([PROTOC, f"-I{PROTO_DIR}", f"--python_out={directory}", "zactor/wire.proto"], check=True)
        sys.path.insert(0, str(pathlib.Path(directory) / "zactor"))
        return importlib.import_module("wire_pb2").Envelope


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


class Reader:
    def __init__(self, envelope):
        self.envelope = envelope
        self.targets, self.senders, self.types = {}, {}, {}
        self.run = None

    def frame(self, data):
        length, at = varint(data, 0)
        assert at + length == len(data), "length"
        kind, lane, payload = data[at] & 0x9F, data[at] >> 5 & 3, data[at + 1:]
        said = {"lane": lane}
        if kind == MESSAGE:
            size, at = varint(payload, 0)
            said.update(self.message(payload[at:at + size]), body=payload[at + size:])
        elif kind == RUN:
            said.update(dict(zip(("target", "sender", "node", "type"), self.run)), body=payload)
        elif kind == BULK_BEGIN:
            said.update(self.message(payload))
        else:
            assert kind == BULK_CHUNK, f"kind {kind:#x}"
            said["bulk"], at = varint(payload, 0)
            said["body"] = payload[at:]
        return {key: value for key, value in said.items() if value}

    def message(self, data):
        e = self.envelope.FromString(data)
        target = self.targets[e.target_index - 1] if e.target_index else e.target
        sender = self.senders[e.sender_index - 1] if e.sender_index else (e.sender, e.sender_node)
        kind = self.types[e.type_index - 1] if e.type_index else e.type
        self.targets[target % TABLE] = target
        if sender[0]:
            self.senders[(sender[0] ^ sender[1]) % TABLE] = sender
        if kind:
            self.types[kind % TABLE] = kind
        self.run = None if e.failed else (target, *sender, kind)
        return {"target": target, "sender": sender[0], "node": sender[1], "type": kind, "ask": e.ask,
                "reply": int(e.reply), "failed": int(e.failed), "reason": e.reason, "budget": e.budget_ms,
                "trace": e.trace, "size": e.body_bytes, "bulk": e.bulk}


def main():
    reader = Reader(envelope_class())
    count = 0
    for number, line in enumerate(open(VECTORS, encoding="utf-8"), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        want = dict(word.split("=") for word in words[1:])
        frame = bytes.fromhex(want.pop("frame"))
        want = {key: bytes.fromhex(value) if key in ("body", "trace") else int(value, 0)
                for key, value in want.items()}
        got = reader.frame(frame)
        want = {key: value for key, value in want.items() if value}
        if got != want:
            print(f"line {number}: expected {want}, got {got}")
            return 1
        count += 1
    print(f"{count} vectors")
    return 0 if count else 1


sys.exit(main())
