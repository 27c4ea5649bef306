"""Network namespaces, a bridge between them, and nftables on the bridge.

The program runs itself in a network, process and mount namespace of its own and makes all others below
it: when it ends, however it ends, the kernel removes all of them, and every process in them.
"""
import os
import shutil
import subprocess
import sys

from fleet import Failed, Node, PORT

INSIDE = "NETWORK_TEST_INSIDE"
SKIPPED = 77
NEEDED = ("unshare", "nsenter", "ip", "nft")
UNSHARE = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


def skip(why):
    print(f"skipped: {why}", flush=True)
    sys.exit(SKIPPED)


def enter():
    """Returns inside; outside it ends with the status of the program inside."""
    if INSIDE in os.environ:
        return
    if os.geteuid() != 0:
        skip("network namespaces need root")
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        skip(f"not installed: {' '.join(missing)}")
    # In a chroot whose root is no mount point it is the /proc of its own that is refused.
    trial = subprocess.run(UNSHARE + ["nft", "add", "table", "bridge", "trial"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if trial.returncode != 0:
        skip(f"this system allows no namespaces or no nftables: {trial.stdout.strip()}")
    os.execvpe(UNSHARE[0], UNSHARE + [sys.executable] + sys.argv, dict(os.environ, **{INSIDE: "1"}))


def call(*command, text=None):
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stdout}")


class Switch:
    """A bridge with one cable to each node's namespace; faults are rules on what it forwards."""

    def __init__(self, count):
        self.holders = []
        call("ip", "link", "set", "lo", "up")
        call("ip", "link", "add", "switch", "type", "bridge")
        call("ip", "link", "set", "switch", "up")
        for i in range(1, count + 1):
            self.plug(i)
        self.heal()

    def plug(self, i):
        # A namespace lives as long as a process in it.
        # pylint: disable-next=consider-using-with # the kernel ends it with the namespace
        holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"],
                                  stdout=subprocess.PIPE)
        holder.stdout.readline()
        self.holders.append(holder)
        inside = ["nsenter", "--net", "--target", str(holder.pid)]
        call("ip", "link", "add", f"port{i}", "type", "veth", "peer", "name", "cable", "netns",
             str(holder.pid))
        call("ip", "link", "set", f"port{i}", "master", "switch")
        call("ip", "link", "set", f"port{i}", "up")
        call(*inside, "ip", "address", "add", f"{address(i)}/24", "dev", "cable")
        for device in ("lo", "cable"):
            call(*inside, "ip", "link", "set", device, "up")

    def node(self, i):
        at = f"{address(i)}:{PORT}"
        return Node(f"n{i}", at, at,
                    ["nsenter", "--net", "--target", str(self.holders[i - 1].pid)])

    @staticmethod
    def rules(rules):
        """In place of those before, in one step. IP only: addresses are still resolved."""
        call("nft", "-f", "-", text="\n".join(
            ["add table bridge faults", "delete table bridge faults", "table bridge faults {",
             "chain forward { type filter hook forward priority 0; policy accept;"]
            + list(rules) + ["}", "}"]))

    def heal(self):
        self.rules([])

    def drop(self, pairs):
        """(from, to): nothing passes in that direction."""
        self.rules(f"ip saddr {address(a)} ip daddr {address(b)} drop" for a, b in pairs)

    def lose(self, percent):
        self.rules([f"meta protocol ip numgen random mod 100 < {percent} drop"])


def address(i):
    return f"10.77.0.{i}"


def both_ways(ones, others):
    return [pair for a in ones for b in others for pair in ((a, b), (b, a))]
