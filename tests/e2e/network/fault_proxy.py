#!/usr/bin/env python3
"""fault_proxy.py NAME=LISTEN>TARGET ...: TCP and UDP between LISTEN and TARGET, with faults on demand.

Addresses are HOST:PORT. Prints "ready" when all paths listen; then reads commands from its input, one a
line, answers each with "ok", "error: ..." or a line of JSON, and ends with its input.

NAME pass                 no fault any more; what was stalled goes on
NAME delay MS [JITTER]    later by MS and up to JITTER more; TCP keeps its order, UDP does not
NAME loss PERCENT         of datagrams
NAME bandwidth BYTES      a second, in each direction of each connection, and of datagrams
NAME stall                nothing passes and nothing is lost; who writes is held up
NAME swallow              half-open: it accepts, reads, and says nothing; at the next command the
                          connections it has been done to are reset, because their bytes are gone
NAME reset                all connections that there are now, with an RST
NAME refuse               as reset, and every new one
NAME cut BYTES            connections that there are now end after so many more bytes, in mid-frame
NAME count                {"connections", "open", "resets", "cuts", "bytes", "datagrams", "dropped"}

NAME may be *: all paths. A seed for loss and jitter is in FAULT_PROXY_SEED, 1 by default.
"""
import asyncio
import json
import os
import random
import socket
import struct
import sys
import time

CHUNK_BYTES = 16 * 1024
HELD_CHUNKS_MAX = 64      # of a connection, on their way; then who writes waits
HELD_DATAGRAMS_MAX = 1000  # of a path that is stalled; more are lost, as in any queue


class Refused(Exception):
    """A command that makes no sense."""


def split_address(text):
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise Refused(f"{text} is no HOST:PORT")
    return host, int(port)


class Connection:
    """One accepted connection and the one that was made for it."""

    def __init__(self, path, reader, writer):
        self.path = path
        self.near = (reader, writer)
        self.far = None
        self.left = None  # bytes until it is cut; None: it is not
        self.spoilt = False
        self.tasks = []

    async def run(self):
        try:
            self.far = await asyncio.open_connection(*self.path.target)
        except OSError:
            self.reset()
            return
        self.tasks = [asyncio.ensure_future(self.pump(self.near[0], self.far[1])),
                      asyncio.ensure_future(self.pump(self.far[0], self.near[1]))]
        await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
        self.close()

    async def pump(self, reader, writer):
        """What was read waits in a queue until it is due, so that a delay is no bandwidth."""
        held = asyncio.Queue(HELD_CHUNKS_MAX)
        sender = asyncio.ensure_future(self.send(held, writer))
        self.tasks.append(sender)
        try:
            while True:
                await self.path.moving.wait()
                chunk = await reader.read(CHUNK_BYTES)
                if self.path.fault == "swallow":
                    self.spoilt |= bool(chunk)
                    if not chunk:
                        await self.path.changed.wait()
                    continue
                await held.put((time.monotonic() + self.path.delay(), chunk))
                if not chunk:
                    await sender
                    return
        except OSError:
            return

    async def send(self, held, writer):
        while True:
            due, chunk = await held.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self.path.moving.wait()
            if not chunk:
                return
            await asyncio.sleep(self.path.seconds_of(len(chunk)))
            if self.left is not None:
                chunk = chunk[:self.left]
                self.left -= len(chunk)
            self.path.counts["bytes"] += len(chunk)
            writer.write(chunk)
            await writer.drain()
            if self.left == 0:
                self.path.counts["cuts"] += 1
                self.close()
                return

    def end(self):
        for task in self.tasks:
            task.cancel()
        self.path.connections.discard(self)

    def close(self):
        self.end()
        for _, writer in filter(None, (self.near, self.far)):
            writer.close()

    def reset(self):
        self.end()
        self.path.counts["resets"] += 1
        for _, writer in filter(None, (self.near, self.far)):
            sock = writer.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Path(asyncio.DatagramProtocol):
    """One way to one target, and the fault on it."""

    def __init__(self, name, listen, target, chance):
        self.name, self.listen, self.target, self.chance = name, listen, target, chance
        self.connections = set()
        self.counts = dict.fromkeys(
            ("connections", "resets", "cuts", "bytes", "datagrams", "dropped"), 0)
        self.fault, self.amounts = "pass", []
        self.moving, self.changed = asyncio.Event(), asyncio.Event()
        self.moving.set()
        self.stalled = []
        self.next_datagram = 0.0  # when the bandwidth has room for it
        self.outgoing = None

    async def open(self):
        loop = asyncio.get_running_loop()
        await asyncio.start_server(self.accept, *self.listen)
        await loop.create_datagram_endpoint(lambda: self, local_addr=self.listen)
        self.outgoing, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol,
                                                               remote_addr=self.target)

    async def accept(self, reader, writer):
        self.counts["connections"] += 1
        connection = Connection(self, reader, writer)
        self.connections.add(connection)
        if self.fault == "refuse":
            connection.reset()
            return
        await self.moving.wait()
        await connection.run()

    # ---- datagrams -----------------------------------------------------------------------------

    def datagram_received(self, data, addr):
        self.counts["datagrams"] += 1
        lost = self.fault in ("swallow", "refuse") or (
            self.fault == "loss" and self.chance.random() * 100 < self.amounts[0])
        if lost or len(self.stalled) >= HELD_DATAGRAMS_MAX:
            self.counts["dropped"] += 1
        elif self.fault == "stall":
            self.stalled.append(data)
        else:
            self.forward(data)

    def forward(self, data):
        now = time.monotonic()
        wait = self.delay()
        if self.fault == "bandwidth":
            self.next_datagram = max(now, self.next_datagram) + self.seconds_of(len(data))
            wait = self.next_datagram - now
        asyncio.get_running_loop().call_later(wait, self.outgoing.sendto, data)

    # ---- faults --------------------------------------------------------------------------------

    def delay(self):
        if self.fault != "delay":
            return 0.0
        jitter = self.amounts[1] if len(self.amounts) > 1 else 0
        return (self.amounts[0] + self.chance.random() * jitter) / 1000

    def seconds_of(self, size):
        return size / self.amounts[0] if self.fault == "bandwidth" else 0.0

    def set_fault(self, fault, amounts):
        spoilt = [connection for connection in self.connections if connection.spoilt]
        if fault in ("reset", "refuse"):
            spoilt = list(self.connections)
        for connection in spoilt:
            connection.reset()
        if fault == "cut":
            for connection in self.connections:
                connection.left = amounts[0]
        # A reset and a cut are done once: what comes after them passes.
        self.fault, self.amounts = ("pass", []) if fault in ("reset", "cut") else (fault, amounts)
        self.changed.set()
        self.changed = asyncio.Event()
        if self.fault == "stall":
            self.moving.clear()
            return
        self.moving.set()
        held, self.stalled = self.stalled, []
        for data in held:
            self.forward(data)

    def count(self):
        return dict(self.counts, open=len(self.connections))


# Fault: how many numbers it wants, at least and at most.
FAULTS = {"pass": (0, 0), "delay": (1, 2), "loss": (1, 1), "bandwidth": (1, 1), "stall": (0, 0),
          "swallow": (0, 0), "reset": (0, 0), "refuse": (0, 0), "cut": (1, 1)}


def obey(paths, line):
    words = line.split()
    if len(words) < 2:
        raise Refused("NAME COMMAND is wanted")
    name, command, numbers = words[0], words[1], words[2:]
    chosen = list(paths.values()) if name == "*" else [paths[name]] if name in paths else []
    if not chosen:
        raise Refused(f"no path {name}")
    if command == "count":
        found = [path.count() for path in chosen]
        return json.dumps({key: sum(one[key] for one in found) for key in found[0]})
    if command not in FAULTS or not all(number.isdigit() for number in numbers):
        raise Refused(f"no command {' '.join(words[1:])}")
    least, most = FAULTS[command]
    if not least <= len(numbers) <= most or (command in ("bandwidth", "cut") and numbers[0] == "0"):
        raise Refused(f"{command} wants {least} to {most} numbers, over 0 if it is bytes")
    for path in chosen:
        path.set_fault(command, [int(number) for number in numbers])
    return "ok"


async def serve(arguments):
    chance = random.Random(int(os.environ.get("FAULT_PROXY_SEED", "1")))
    paths = {}
    for argument in arguments:
        name, _, way = argument.partition("=")
        listen, _, target = way.partition(">")
        paths[name] = Path(name, split_address(listen), split_address(target), chance)
        await paths[name].open()
    print("ready", flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        try:
            print(obey(paths, line.decode()), flush=True)
        except Refused as refused:
            print(f"error: {refused}", flush=True)
    os._exit(0)  # whatever connections are still open


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 0 if len(sys.argv) > 1 else 2
    try:
        asyncio.run(serve(sys.argv[1:]))
    except (Refused, OSError) as problem:
        print(f"fault_proxy.py: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
