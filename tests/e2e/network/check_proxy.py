#!/usr/bin/env python3
"""check_proxy.py: whether fault_proxy.py does what it says, with an echo behind it."""
import json
import os
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time

WAIT_SECONDS = 10
DATAGRAM_SECONDS = 0.3  # without one, there is none


class Echo(socketserver.BaseRequestHandler):
    """Gives TCP back what it says."""

    def handle(self):
        while True:
            try:
                got = self.request.recv(65536)
            except ConnectionResetError:
                return
            if not got:
                return
            self.request.sendall(got)


class Bench:
    """The proxy between a client and an echo; its UDP goes to a socket that is read here."""

    def __init__(self):
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        target = self.server.server_address
        self.far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.far.bind(target)  # the same number, for UDP
        self.far.settimeout(DATAGRAM_SECONDS)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.front = free.getsockname()
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fault_proxy.py")
        path = f"a={self.front[0]}:{self.front[1]}>{target[0]}:{target[1]}"
        # pylint: disable-next=consider-using-with # ended in close
        self.proxy = subprocess.Popen([sys.executable, program, path], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True, bufsize=1)
        assert self.proxy.stdout.readline() == "ready\n"
        self.near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def close(self):
        self.proxy.stdin.close()
        self.proxy.wait(WAIT_SECONDS)
        self.server.shutdown()

    def tell(self, command):
        self.proxy.stdin.write(command + "\n")
        return self.proxy.stdout.readline().strip()

    def connect(self):
        connection = socket.create_connection(self.front, WAIT_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def datagrams(self, count, size=100):
        """How many of them come through, and after how many seconds the last one did."""
        began, came, last = time.monotonic(), 0, 0.0
        for number in range(count):
            self.near.sendto(struct.pack("<I", number) + bytes(size - 4), self.front)
        while came < count:
            try:
                self.far.recv(65536)
            except TimeoutError:
                break
            came, last = came + 1, time.monotonic() - began
        return came, last


def echoed(connection, size=1000):
    """How many of the bytes come back, and when, until there are all or the end."""
    began, got = time.monotonic(), b""
    connection.sendall(bytes(size))
    while len(got) < size:
        try:
            part = connection.recv(65536)
        except TimeoutError:
            break
        if not part:
            break
        got += part
    return len(got), time.monotonic() - began


def is_reset(connection):
    try:
        connection.settimeout(WAIT_SECONDS)
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return False


def check_pass(bench):
    with bench.connect() as connection:
        assert echoed(connection, 200000)[0] == 200000
    assert bench.datagrams(50)[0] == 50


def check_delay(bench):
    with bench.connect() as connection:
        assert echoed(connection)[0] == 1000
        bench.tell("a delay 100")
        size, seconds = echoed(connection)
        assert size == 1000 and 0.2 <= seconds < 1.0, seconds
        # It is no bandwidth: what comes close behind is late by as much.
        size, seconds = echoed(connection, 100000)
        assert size == 100000 and seconds < 1.0, seconds
    came, seconds = bench.datagrams(20)
    assert came == 20 and 0.1 <= seconds < 0.5, (came, seconds)


def check_loss(bench):
    bench.tell("a loss 30")
    came, _ = bench.datagrams(200)
    assert 100 < came < 180, came
    with bench.connect() as connection:
        assert echoed(connection)[0] == 1000


def check_bandwidth(bench):
    with bench.connect() as connection:
        assert echoed(connection)[0] == 1000
        bench.tell("a bandwidth 10000")
        size, seconds = echoed(connection, 5000)
        assert size == 5000 and seconds >= 0.5, seconds
    bench.far.settimeout(2)
    came, seconds = bench.datagrams(10, 1000)
    bench.far.settimeout(DATAGRAM_SECONDS)
    assert came == 10 and seconds >= 0.9, seconds


def check_stall(bench):
    with bench.connect() as connection:
        assert echoed(connection)[0] == 1000
        bench.tell("a stall")
        connection.settimeout(0.3)
        assert echoed(connection)[0] == 0
        assert bench.datagrams(5)[0] == 0
        bench.tell("a pass")
        connection.settimeout(WAIT_SECONDS)
        assert len(connection.recv(65536)) == 1000
        assert sum(len(bench.far.recv(65536)) for _ in range(5)) == 500


def check_swallow(bench):
    with bench.connect() as before:
        assert echoed(before)[0] == 1000
        bench.tell("a swallow")
        with bench.connect() as connection:
            for half_open in (before, connection):
                half_open.settimeout(0.3)
                assert echoed(half_open)[0] == 0
            assert bench.datagrams(5)[0] == 0
            bench.tell("a pass")
            assert is_reset(before) and is_reset(connection)


def check_reset(bench):
    with bench.connect() as connection:
        assert echoed(connection)[0] == 1000
        bench.tell("a reset")
        assert is_reset(connection)
    with bench.connect() as connection:
        assert echoed(connection)[0] == 1000


def check_refuse(bench):
    with bench.connect() as connection:
        assert echoed(connection)[0] == 1000
        bench.tell("a refuse")
        assert is_reset(connection)
    try:
        with bench.connect() as connection:
            assert is_reset(connection)
    except ConnectionResetError:
        pass
    assert bench.datagrams(5)[0] == 0


def check_cut(bench):
    with bench.connect() as connection:
        assert echoed(connection)[0] == 1000
        bench.tell("a cut 1100")  # there 1000, back 100
        assert echoed(connection)[0] == 100
    with bench.connect() as connection:
        assert echoed(connection, 5000)[0] == 5000


def check_nonsense(bench):
    for command in ("a", "b pass", "a fly", "a delay", "a delay x", "a cut 0", "a loss 1 2"):
        assert bench.tell(command).startswith("error: "), command
    assert bench.tell("* pass") == "ok"


def main():
    bench = Bench()
    try:
        for name, check in sorted(globals().items()):
            if name.startswith("check_"):
                bench.tell("a pass")
                check(bench)
                print(name, flush=True)
        counts = json.loads(bench.tell("a count"))
        assert counts["cuts"] == 1 and counts["resets"] >= 4 and counts["dropped"] > 20, counts
    finally:
        bench.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
