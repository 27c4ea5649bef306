#!/usr/bin/env python3
"""Measures a cluster of real zactord processes, for tools/bench: one JSON line per id.

bench_cluster.py --programs FOLDER [--impl zactor|serf] [--nodes N] [--quick] ID ...

All processes live in a network namespace of their own, on 127.0.0.1 to 127.0.0.N: the port is the same
for all, nothing of the machine is touched, and the kernel's counters of that namespace count this
cluster alone. Times are those of the members' logs. Needs root or user namespaces.
"""
import argparse
import calendar
import json
import os
import re
import selectors
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

NODES = 32
PORT = 7464
START_SECONDS_MAX = 60
EVENT_SECONDS_MAX = 60
SETTLE_SECONDS = 60  # the whole mesh is made, and nodes that agree have found out that they do
IDLE_SECONDS = 60
ROUNDS = 5
IN_NAMESPACE = "BENCH_CLUSTER_NAMESPACE"

# Id: unit, goal in that unit, of which figure: the last member to know, or the mean or greatest of all.
GOALS = {
    "cluster-join": ("s", 0.5),
    "cluster-rss": ("MiB", 6.0),
    "cluster-idle-cpu": ("% of a core", 0.10),
    "cluster-traffic": ("B/s", 400),
    "cluster-sigkill": ("s", 1.0),
    "cluster-sigstop": ("s", 6.0),
    "cluster-leave": ("s", 0.3),
}


class Failed(Exception):
    """The cluster did not do what was to be measured."""


def say(text):
    print(f"bench_cluster: {text}", file=sys.stderr, flush=True)


# ---- a cluster ---------------------------------------------------------------------------------


class Fleet:
    """Processes and what their logs say: (observer, subject, state) and when it was first said."""

    def __init__(self, programs, nodes):
        self.programs = programs
        self.names = [f"n{i:03d}" for i in range(nodes)]
        self.folder = tempfile.mkdtemp(prefix="zactor-bench-")
        self.environment = {key: value for key, value in os.environ.items()
                            if not key.startswith("ZACTOR_")}
        self.processes = {}
        self.seen = {}
        self.last = {}  # line of each log, to be shown if the process ends
        self.lock = threading.Lock()
        self.selector = selectors.DefaultSelector()
        self.reading = True
        self.reader = threading.Thread(target=self.read_logs, daemon=True)

    def __enter__(self):
        self.prepare()
        self.reader.start()
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.reading = False
        self.reader.join()
        shutil.rmtree(self.folder, ignore_errors=True)

    def address(self, name):
        return f"127.0.0.{self.names.index(name) + 1}:{PORT}"

    def start(self, name):
        """When it was started, in Unix seconds."""
        # pylint: disable-next=consider-using-with # ended in __exit__
        process = subprocess.Popen(self.command(name), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env=self.environment)
        os.set_blocking(process.stdout.fileno(), False)
        self.processes[name] = process
        with self.lock:
            self.selector.register(process.stdout, selectors.EVENT_READ, [name, b""])
        return time.time()

    def read_logs(self):
        while self.reading:
            for key, _ in self.selector.select(timeout=0.1):
                got = key.fileobj.read() or b""
                if not got:
                    with self.lock:
                        self.selector.unregister(key.fileobj)
                    continue
                lines = (key.data[1] + got).split(b"\n")
                key.data[1] = lines.pop()
                for line in lines:
                    self.last[key.data[0]] = line
                    self.note(key.data[0], line.decode(errors="replace"), time.time())

    def note(self, observer, line, arrived):
        found = self.parse(line)
        if found is not None:
            subject, state, at = found
            with self.lock:
                self.seen.setdefault((observer, subject, state), at or arrived)

    def forget(self):
        """What comes from now on is of the next event."""
        with self.lock:
            self.seen.clear()

    def when(self, observers, subjects, state, seconds_max=EVENT_SECONDS_MAX):
        """When each observer first said it of each subject; waits for the last."""
        wanted = [(a, b, state) for a in observers for b in subjects if a != b]
        until = time.monotonic() + seconds_max
        while time.monotonic() < until:
            with self.lock:
                if all(key in self.seen for key in wanted):
                    return [self.seen[key] for key in wanted]
            for name in observers:
                if self.processes[name].poll() is not None:
                    raise Failed(f"{name} ended: {self.last.get(name, b'').decode()}")
            time.sleep(0.02)
        with self.lock:
            lacking = [key for key in wanted if key not in self.seen]
        raise Failed(f"{len(lacking)} of {len(wanted)} never said so; the first: {lacking[0]}")

    def said(self, state):
        with self.lock:
            return [key for key in self.seen if key[2] == state]

    def start_all(self):
        """Seconds from the last start until the last node saw the last other one."""
        last = max(self.start(name) for name in self.names)
        return max(self.when(self.names, self.names, "up", START_SECONDS_MAX)) - last

    def others(self, name):
        return [other for other in self.names if other != name]


class Zactor(Fleet):
    MEMBER = re.compile(r'"time":"([^"]*)\.(\d+)Z".*"msg":"member (\S+) [0-9a-f]+ is (\w+)')

    def prepare(self):
        tool = os.path.join(self.programs, "zactorctl")
        self.run([tool, "ca", "init", "--cluster", "bench", "--dir", self.folder])
        for name in self.names:
            self.run([tool, "ca", "issue", name, "--dir", self.folder])

    @staticmethod
    def run(command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: {done.stdout}")

    def command(self, name):
        return [os.path.join(self.programs, "zactord"), "--node-name", name, "--node-listen",
                self.address(name), "--node-workers", "1", "--cluster-name", "bench",
                "--cluster-seeds", self.address(self.names[0]), "--log-format", "json",
                "--tls-ca", f"{self.folder}/ca.crt", "--tls-cert", f"{self.folder}/{name}.crt",
                "--tls-key", f"{self.folder}/{name}.key"]

    def parse(self, line):
        found = self.MEMBER.search(line)
        if found is None:
            return None
        stamp, milliseconds, subject, state = found.groups()
        at = calendar.timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%S")) + int(milliseconds) / 1000
        return subject, state, at

    def leave(self, name):
        self.processes[name].send_signal(signal.SIGTERM)

    GONE, SILENT, LEFT = "down", "unreachable", "left"


class Serf(Fleet):
    """serf says "failed" of all that is gone; its clock has seconds only: the arrival counts."""
    EVENT = re.compile(r"serf: EventMember(\w+): (\S+)")
    STATES = {"Join": "up", "Failed": "failed", "Leave": "left"}

    def prepare(self):
        pass

    def command(self, name):
        host = self.address(name).split(":", maxsplit=1)[0]
        return ["serf", "agent", f"-node={name}", f"-bind={host}:{PORT}",
                f"-rpc-addr={host}:7373", f"-retry-join={self.address(self.names[0])}",
                "-retry-interval=1s"]

    def parse(self, line):
        found = self.EVENT.search(line)
        if found is None or found[1] not in self.STATES:
            return None
        return found[2], self.STATES[found[1]], None

    def leave(self, name):
        self.processes[name].send_signal(signal.SIGINT)

    GONE, SILENT, LEFT = "failed", "failed", "left"


# ---- figures -----------------------------------------------------------------------------------


def resident_mib(process):
    """What of the process lies in memory: its own pages, and those of programs and libraries."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)
    return sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssFile", "RssShmem")) / 1024


def cpu_ns(process):
    """Nanoseconds on a core, of all threads: the ticks of `stat` are too coarse here."""
    total = 0
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        with open(f"/proc/{process.pid}/task/{thread}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def ip_bytes_out():
    """Bytes that this network namespace sent, with the IP headers."""
    with open("/proc/self/net/netstat", encoding="ascii") as file:
        lines = [line.split() for line in file if line.startswith("IpExt:")]
    return int(lines[1][lines[0].index("OutOctets")])


def line_of(id_, impl, values, nodes, params):
    unit, goal = GOALS[id_]
    values = sorted(values)
    worst = values[-1]
    line = {"id": id_, "impl": impl, "workers": 1, "unit": unit,
            "median": round(statistics.median(values), 3), "min": round(values[0], 3),
            "max": round(worst, 3), "p99": round(values[int(0.99 * (len(values) - 1) + 0.5)], 3),
            "runs": len(values), "params": dict(params, nodes=nodes)}
    if impl == "zactor":
        line.update(goal=f"<= {goal}", holds=line["p99"] <= goal)
    return line


def idle_lines(fleet, options):
    """CPU, memory and traffic of the same quiet minute."""
    seconds = IDLE_SECONDS // 4 if options.quick else IDLE_SECONDS
    time.sleep(SETTLE_SECONDS)
    fleet.forget()
    processes = list(fleet.processes.values())
    before, bytes_before, began = [cpu_ns(p) for p in processes], ip_bytes_out(), time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - began
    shares = [(cpu_ns(p) - old) / elapsed / 1e7 for p, old in zip(processes, before)]
    rate = (ip_bytes_out() - bytes_before) / elapsed / len(processes)
    events = fleet.said(fleet.SILENT) + fleet.said(fleet.GONE)
    params = {"seconds": round(elapsed), "false_failures": len(events)}
    return [("cluster-idle-cpu", shares, params),
            ("cluster-rss", [resident_mib(p) for p in processes], {}),
            ("cluster-traffic", [rate], dict(params, level="IP"))]


def rounds_of(options):
    return 2 if options.quick else ROUNDS


def restart(fleet, name):
    fleet.processes[name].wait()
    fleet.forget()
    fleet.start(name)
    fleet.when(fleet.others(name), [name], "up")
    fleet.when([name], fleet.others(name), "up")
    time.sleep(2)
    fleet.forget()


def event_lines(fleet, options):
    """Each round has another victim; the value is of the last member that heard of it."""
    times = {"cluster-sigkill": [], "cluster-sigstop": [], "cluster-leave": []}
    failures_seen = 0
    for i in range(rounds_of(options)):
        victim = fleet.names[1 + (7 * i) % (len(fleet.names) - 1)]
        for id_, act, state in (
                ("cluster-sigkill", lambda p, _: p.kill(), fleet.GONE),
                ("cluster-sigstop", lambda p, _: p.send_signal(signal.SIGSTOP), fleet.SILENT),
                ("cluster-leave", lambda _, name: fleet.leave(name), fleet.LEFT)):
            if id_ not in options.ids:
                continue
            fleet.forget()
            at = time.time()
            act(fleet.processes[victim], victim)
            times[id_].append(max(fleet.when(fleet.others(victim), [victim], state)) - at)
            if id_ == "cluster-leave":
                failures_seen += len(fleet.said(fleet.GONE) + fleet.said(fleet.SILENT))
            if id_ == "cluster-sigstop":
                fleet.processes[victim].send_signal(signal.SIGCONT)
                fleet.processes[victim].kill()
                time.sleep(EVENT_SECONDS_MAX / 6)  # it is down for all before its name comes back
            restart(fleet, victim)
    return [(id_, values, {"failures_seen": failures_seen} if id_ == "cluster-leave" else {})
            for id_, values in times.items() if values]


def measure(options):
    found = []
    kind = {"zactor": Zactor, "serf": Serf}[options.impl]
    joins = rounds_of(options) if "cluster-join" in options.ids else 1
    for i in range(joins):
        with kind(options.programs, options.nodes) as fleet:
            say(f"{options.impl}: starting {options.nodes} nodes ({i + 1} of {joins})")
            found.append(("cluster-join", [fleet.start_all()], {}))
            if i + 1 < joins:
                continue
            if {"cluster-idle-cpu", "cluster-rss", "cluster-traffic"} & set(options.ids):
                say("idle")
                found += idle_lines(fleet, options)
            if {"cluster-sigkill", "cluster-sigstop", "cluster-leave"} & set(options.ids):
                say("killing, stopping, leaving")
                found += event_lines(fleet, options)
    for id_ in options.ids:
        values = [value for name, list_, _ in found if name == id_ for value in list_]
        params = next(params for name, _, params in found if name == id_)
        print(json.dumps(line_of(id_, options.impl, values, options.nodes, params)), flush=True)


def enter_namespace():
    """Runs this program again in a network namespace that ends with it."""
    command = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    os.execvpe(command[0], command + [sys.executable] + sys.argv, dict(os.environ, **{IN_NAMESPACE: "1"}))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True, help="folder of zactord and zactorctl")
    parser.add_argument("--impl", choices=["zactor", "serf"], default="zactor")
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("ids", nargs="+", choices=GOALS, metavar="ID")
    options = parser.parse_args()
    if IN_NAMESPACE not in os.environ:
        enter_namespace()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the fleet ends with us
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        measure(options)
    except (Failed, subprocess.CalledProcessError) as failure:
        say(f"failed: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
