"""Real zactord processes for the network tests, with one sentinel each, and what is right at the end.

Waiting is polling with a bound: nothing here takes longer than what it waits for.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PORT = 7464
WAIT_SECONDS = 60  # a bound for a machine that is busy, not a delay
POLL_SECONDS = 0.1
SAID = re.compile(r'msg="?(?:sentinel: )?(watch|down) (\S+) (\S+?)"?$')


class Failed(Exception):
    """The cluster is not as it should be."""


def say(text):
    print(text, flush=True)


class Node:
    """One process. `inside` is put before its command: the way into its network namespace."""

    def __init__(self, name, listen, advertise, inside=()):
        self.name = name
        self.listen = listen
        self.advertise = advertise
        self.inside = list(inside)
        self.process = None


class Fleet:
    """Nodes n1, n2 ... of one cluster."""

    def __init__(self, programs, nodes):
        self.zactord, self.zactorctl, self.sentinel = programs
        self.nodes = nodes
        self.folder = tempfile.mkdtemp(prefix="zactor-network-")
        self.environment = {key: value for key, value in os.environ.items()
                            if not key.startswith("ZACTOR_")}

    def __enter__(self):
        self.run([self.zactorctl, "ca", "init", "--cluster", "field", "--dir", self.folder])
        for node in self.nodes:
            self.run([self.zactorctl, "ca", "issue", node.name, "--dir", self.folder])
        return self

    def __exit__(self, kind, *_):
        for node in self.nodes:
            if node.process is not None:
                node.process.send_signal(signal.SIGCONT)
                node.process.kill()
                node.process.wait()
        if kind is not None:
            self.show_logs()
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def run(command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: {done.stdout}")

    def show_logs(self):
        for node in self.nodes:
            with open(self.log_path(node), encoding="utf-8", errors="replace") as log:
                print(f"--- {node.name}", *log.read().splitlines()[-25:], sep="\n", file=sys.stderr)

    def log_path(self, node):
        return os.path.join(self.folder, node.name + ".log")

    # ---- processes -----------------------------------------------------------------------------

    def start(self, node, *arguments):
        """Local timing, so that faults show and heal in seconds. No process survives this one."""
        others = ",".join(f"sentinel-{other.name}" for other in self.nodes if other is not node)
        command = ["setpriv", "--pdeathsig", "KILL"] + node.inside + [
            self.zactord, "--load", self.sentinel, "--root", "sentinel", "--node-name", node.name,
            "--node-listen", node.listen, "--node-advertise", node.advertise, "--node-workers", "1",
            "--node-socket", os.path.join(self.folder, node.name + ".sock"), "--cluster-name",
            "field", "--cluster-timing", "local", "--cluster-seeds",
            ",".join(other.advertise for other in self.nodes[:3]), "--tls-ca",
            f"{self.folder}/ca.crt", "--tls-cert", f"{self.folder}/{node.name}.crt", "--tls-key",
            f"{self.folder}/{node.name}.key", *arguments]
        with open(self.log_path(node), "ab") as log:
            # pylint: disable-next=consider-using-with # ended in __exit__
            node.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(self.environment, SENTINEL_NAME=f"sentinel-{node.name}",
                         SENTINEL_PEERS=others))

    def start_all(self):
        for node in self.nodes:
            self.start(node)
        self.wait("all see all", lambda: self.problem())

    # ---- looking -------------------------------------------------------------------------------

    def ask(self, node, verb):
        """The answer of one node as zactorctl prints it; None: it does not answer."""
        done = subprocess.run([self.zactorctl, "--socket", f"{self.folder}/{node.name}.sock", "-o",
                               "json", "--timeout", "5s", verb], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, env=self.environment, check=False)
        try:
            return json.loads(done.stdout)
        except ValueError:
            return None

    def members(self, node):
        """(uid, state) of each name, as one node sees it; of several lives the one that is not over."""
        found = {}
        for member in (self.ask(node, "members") or {"members": []})["members"]:
            over = member["state"] in ("left", "down")
            if not over or member["node"] not in found:
                found[member["node"]] = (member["uid"], member["state"])
        return found

    def states(self, node):
        return {name: state for name, (_, state) in self.members(node).items()}

    def names(self, node):
        answer = self.ask(node, "names") or {"names": []}
        return {entry["name"]: entry["ref"] for entry in answer["names"]}

    def counter(self, name):
        """Summed up over all nodes."""
        answers = [self.ask(node, "status") for node in self.nodes]
        return sum(answer["counters"][name] for answer in answers if answer is not None)

    def watches(self, node):
        """What the sentinel watches now. Each watch may end once, and only what is watched ends."""
        watched = {}
        with open(self.log_path(node), encoding="utf-8", errors="replace") as log:
            for line in log:
                if "level=error" in line:
                    raise Failed(f"{node.name}: {line.strip()}")
                found = SAID.search(line)
                if found is None:
                    continue
                what, name, ref = found.groups()
                if what == "watch" and watched.get(name) is None:
                    watched[name] = ref
                elif what == "down" and watched.get(name) == ref:
                    watched[name] = None
                else:
                    raise Failed(f"{node.name}: {what} {name} {ref} while it watches {watched}")
        return {name: ref for name, ref in watched.items() if ref is not None}

    # ---- what is right -------------------------------------------------------------------------

    def problem(self, nodes=None):
        """What is not yet as it should be among these nodes; None: all is right."""
        nodes = nodes or self.nodes
        wanted = {node.name: "up" for node in nodes}
        views = {node.name: {name: uid for name, (uid, _) in self.members(node).items()
                             if name in wanted} for node in nodes}
        for node in nodes:
            live = {name: state for name, state in self.states(node).items()
                    if state not in ("left", "down")}
            if live != wanted:
                return f"{node.name} sees {live}"
            if views[node.name] != views[nodes[0].name]:
                return f"{node.name} and {nodes[0].name} differ: {views}"
        return self.names_problem(nodes)

    def names_problem(self, nodes):
        wanted = {f"sentinel-{node.name}" for node in nodes}
        first = self.names(nodes[0])
        for node in nodes:
            names = self.names(node)
            if set(names) != wanted or names != first:
                return f"{node.name} has the names {names}, {nodes[0].name} {first}"
            own = f"sentinel-{node.name}"
            watched = self.watches(node)
            others = {name: ref for name, ref in names.items() if name != own}
            if watched != others:
                return f"{node.name} watches {watched}, not {others}"
        return None

    def wait(self, what, problem, seconds=WAIT_SECONDS):
        """Until problem() is None; says how long it took."""
        began = time.monotonic()
        last = problem()
        while last is not None:
            if time.monotonic() - began > seconds:
                raise Failed(f"{what}: not within {seconds} s: {last}")
            for node in self.nodes:
                if node.process is not None and node.process.poll() is not None:
                    raise Failed(f"{node.name} ended with {node.process.returncode}")
            time.sleep(POLL_SECONDS)
            last = problem()
        say(f"{what}: after {time.monotonic() - began:.1f} s")

    def hold(self, what, problem, seconds):
        """For so long problem() must be None."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = problem()
            if found is not None:
                raise Failed(f"{what}: {found}")
            time.sleep(POLL_SECONDS)
        say(f"{what}: for {seconds} s")

    def nobody_was_downed(self):
        """No node ever declared another one down, and none was told that it was."""
        for name in ("downs", "downs_of_live", "rebirths"):
            count = self.counter(name)
            if count != 0:
                return f"{name} = {count}"
        return None
