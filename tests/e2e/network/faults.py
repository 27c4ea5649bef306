#!/usr/bin/env python3
"""faults.py ZACTORD ZACTORCTL SENTINEL [--seconds N] [--only FAULT]

Five nodes on loopback addresses, each reached by the others through a proxy that does to TCP and UDP
what networks do: delay, loss, little bandwidth, stalls, half-open connections, resets, cut frames. After
each of them views, names and watches are right on all nodes; and none of those that only make a node
slow or lossy has anybody taken for dead.
"""
import argparse
import json
import os
import subprocess
import sys

from fleet import Failed, Fleet, Node, say

NODES = 5
SECONDS = 5
# Below 127.0.0.0/8, where every address is ours; ports of its own for each run.
BEHIND, FRONT = "127.7.1", "127.7.2"
PORT = 20000 + os.getpid() % 10000


class Proxy:
    """fault_proxy.py with a path to each node, by its name."""

    def __init__(self, nodes):
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fault_proxy.py")
        paths = [f"{node.name}={node.advertise}>{node.listen}" for node in nodes]
        # pylint: disable-next=consider-using-with # ends with its input
        self.process = subprocess.Popen([sys.executable, program] + paths, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        if self.process.stdout.readline() != "ready\n":
            raise Failed("the proxy did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        answer = self.process.stdout.readline().strip()
        if not answer or answer.startswith("error"):
            raise Failed(f"proxy: {command}: {answer}")
        return answer


def count(proxy, what):
    return json.loads(proxy.tell("* count"))[what]


def slow(fleet, proxy, commands, seconds):
    """Nobody dies of it."""
    for command in commands:
        proxy.tell(command)
        fleet.hold(command, fleet.nobody_was_downed, seconds)
    proxy.tell("* pass")
    fleet.wait("right after it", fleet.problem)
    found = fleet.nobody_was_downed()
    if found is not None:
        raise Failed(f"somebody was taken for dead: {found}")


def broken(fleet, proxy, commands, seconds):
    """It may cost somebody a life, but not the cluster its right mind."""
    for command in commands:
        proxy.tell(command)
        fleet.hold(command, lambda: None, seconds)
    proxy.tell("* pass")
    fleet.wait("right after it", fleet.problem)


# What is done, and with which commands. The slow ones come first: after the others some were downed.
FAULTS = {
    "delay": (slow, ["n1 delay 100 100", "* delay 50 50"]),
    "loss": (slow, ["* loss 30"]),
    "bandwidth": (slow, ["n1 bandwidth 4000"]),
    "reset": (broken, ["n1 reset", "* reset", "* reset"]),
    "cut": (broken, ["* cut 777", "n1 cut 33"]),
    "refuse": (broken, ["n1 refuse"]),
    "stall": (broken, ["n1 stall", "* stall"]),
    "half-open": (broken, ["n1 swallow", "* swallow"]),
}


def run(options, fleet, proxy):
    fleet.start_all()
    if count(proxy, "open") < NODES:
        raise Failed("the nodes go around the proxy")
    for name, (how, commands) in FAULTS.items():
        if options.only in (None, name):
            how(fleet, proxy, commands, options.seconds)
    if options.only is None and min(count(proxy, "resets"), count(proxy, "cuts")) == 0:
        raise Failed("the proxy did nothing to anybody")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs=3, metavar="PROGRAM")
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--only", choices=FAULTS)
    options = parser.parse_args()
    nodes = [Node(f"n{i}", f"{BEHIND}.{i}:{PORT}", f"{FRONT}.{i}:{PORT}")
             for i in range(1, NODES + 1)]
    try:
        with Proxy(nodes) as proxy, Fleet(options.programs, nodes) as fleet:
            run(options, fleet, proxy)
    except Failed as failure:
        say(f"FAILED: {failure}")
        return 1
    say("all is right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
