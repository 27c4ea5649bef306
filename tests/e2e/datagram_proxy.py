#!/usr/bin/env python3
"""datagram_proxy.py: stands where a node says that it can be reached. Hands TCP and UDP on to the node, keeps
the datagrams, and does to them what it is told, one command a line:

  target HOST:PORT     the node
  udp pass|drop        whether datagrams go on to it; they are kept all the same
  again N [HOST:PORT]  sends the last N once more, to the node or to another
  hold                 keeps the next one back, which is then the last
  changed N            sends the last N times, each time with another bit changed
  late 1               sends the one that was held
  old N                sends the last N as if of an epoch long ago
  cut N                sends the last N without their ends
  garbage N            sends N of random bytes, and more of the right version

Prints its address first, then a line for each command: what it sent, and how many answers came to what was
no datagram of a member.
"""

import random
import selectors
import socket
import sys
import threading

KEPT = 1000


class Proxy:
    def __init__(self):
        self.target = None
        self.passes = True
        self.holding = threading.Event()
        self.held = threading.Event()
        self.kept = []
        self.lock = threading.Lock()
        self.random = random.Random(1)
        while True:  # a number that is free for both
            self.tcp = socket.create_server(("127.0.0.1", 0))
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                self.udp.bind(self.tcp.getsockname())
                break
            except OSError:
                self.tcp.close()
                self.udp.close()
        # Another socket for what is sent on: an answer to it would come back to it.
        self.out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.out.bind(("127.0.0.1", 0))

    def start(self):
        for work in (self.accept, self.receive):
            threading.Thread(target=work, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.tcp.accept()
            threading.Thread(target=self.join, args=(near,), daemon=True).start()

    def join(self, near):
        try:
            far = socket.create_connection(self.target)
        except OSError:
            near.close()
            return
        other = {near: far, far: near}
        with selectors.DefaultSelector() as waiting, near, far:
            for side in other:
                waiting.register(side, selectors.EVENT_READ)
            try:
                while True:
                    for key, _ in waiting.select():
                        data = key.fileobj.recv(65536)
                        if not data:
                            return
                        other[key.fileobj].sendall(data)
            except OSError:
                return

    def receive(self):
        while True:
            data, _ = self.udp.recvfrom(65536)
            with self.lock:
                self.kept = (self.kept + [data])[-KEPT:]
                if self.holding.is_set():
                    self.holding.clear()
                    self.last = data
                    self.held.set()
                elif self.passes and self.target:
                    self.out.sendto(data, self.target)

    def changed(self, data):
        at = self.random.randrange(18, len(data))  # the header stays: it is the text that is changed
        return data[:at] + bytes([data[at] ^ 1 << self.random.randrange(8)]) + data[at + 1:]

    def garbage(self):
        data = self.random.randbytes(self.random.randrange(1, 1400))
        return bytes([1]) + data if self.random.random() < 0.5 else data

    def send(self, datagrams, target):
        for data in datagrams:
            self.out.sendto(data, target)
        return len(datagrams)

    def answers(self):
        self.out.settimeout(0.3)
        count = 0
        try:
            while True:
                self.out.recvfrom(65536)
                count += 1
        except OSError:
            return count

    def hold(self):
        self.held.clear()
        self.holding.set()
        return f"hold {self.held.wait(30)}"

    def obey(self, words):
        if words[0] == "hold":
            return self.hold()
        with self.lock:
            if words[0] == "target":
                self.target = address(words[1])
                return "target"
            if words[0] == "udp":
                self.passes = words[1] == "pass"
                return "udp"
            count = int(words[1])
            target = address(words[2]) if len(words) > 2 else self.target
            last = self.kept[-count:]
            datagrams = {"again": lambda: last,
                         "changed": lambda: [self.changed(self.last) for _ in range(count)],
                         "late": lambda: [self.last],
                         "old": lambda: [data[:1] + bytes([200]) + data[2:] for data in last],
                         "cut": lambda: [data[:self.random.randrange(1, 34)] for data in last],
                         "garbage": lambda: [self.garbage() for _ in range(count)]}[words[0]]()
            return f"{words[0]} {self.send(datagrams, target)} answers {self.answers()}"


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def main():
    proxy = Proxy()
    print("{}:{}".format(*proxy.tcp.getsockname()), flush=True)
    proxy.start()
    for line in sys.stdin:
        print(proxy.obey(line.split()), flush=True)


if __name__ == "__main__":
    main()
