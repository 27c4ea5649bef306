"""What tools/bench can measure: ids by group, how peers run them, and what is aimed at."""

# Ids of workloads on one node. With peers: unit, count as the peers take it (producers, tokens ...),
# and messages of a peer: enough for a second or two.
LOCAL = {
    "pingpong": ("ns/msg", 2, 2000000),
    "pingpong-cross": ("ns/msg", 2, 30000),
    "fanin-1": ("M/s", 1, 4000000),
    "fanin-2": ("M/s", 2, 4000000),
    "fanin-8": ("M/s", 8, 4000000),
    "fanin-32": ("M/s", 32, 4000000),
    "ring": ("M/s", 1000, 5000000),
    "threadring": ("ns/hop", 1, 2000000),
    "spawn": ("M actors/s", 1, 300000),
    "actor-bytes": ("B", 1, 500000),
    "skynet": ("s", 10, 1000000),
    "big": ("M/s", 1000, 2000000),
    "payload": ("M/s", 1, 2000000),
}
MICRO = {id_: None for id_ in (
    "message-same", "message-cross", "message-wake", "contend-1", "contend-2", "contend-4",
    "contend-8", "contend-16", "contend-32", "spawn-call", "spawn-stop", "alloc-lifo",
    "alloc-burst", "alloc-mixed", "alloc-cross", "timer-cancel", "timer-cancel-1m", "timer-fire",
    "timer-fire-1m", "ask", "await")}
MACRO = {
    "fan-out": ("M/s", 1000, 2000000),
    "forkjoin-throughput": None,
    "forkjoin-create": None,
    "counting": None,
    "pipeline": None,
    "chameneos": ("M/s", 100, 500000),
    "supervisor": None,
    "n-queens": ("ms", 20, 12),
    "bank": ("M/s", 1000, 500000),
    "dictionary": None,
    "philosophers": None,
    "sieve": None,
    "radix-sort": None,
    "bounded-buffer": None,
    "logistic-map": None,
}
BOUNDS = {"idle": None, "overload": None, "slow-handler": None}
MAILBOX = {id_: None for id_ in (
    "mailbox-pingpong", "mailbox-fanin-1", "mailbox-fanin-2", "mailbox-fanin-8",
    "mailbox-fanin-32", "mailbox-bytes")}
REMOTE = {
    "remote-pingpong": ("us", [1], 5000),
    "remote-stream-64": ("M/s", [1, 16], 400000),
}

# Ids of a cluster of processes, all measured in one life of it; a goal stands in its line.
CLUSTER = {id_: None for id_ in (
    "cluster-join", "cluster-idle-cpu", "cluster-rss", "cluster-traffic", "cluster-sigkill",
    "cluster-sigstop", "cluster-leave")}

# Group: the program that measures its ids (of BOUNDS: one program for each id), and the ids. The
# programs of MAILBOX and BOUNDS repeat by themselves.
PROGRAMS = {"local": "bench_local", "micro": "bench_micro", "macro": "bench_macro",
            "mailbox": "bench_mailboxes", "remote": "bench_remote"}
GROUPS = {"local": LOCAL, "micro": MICRO, "macro": MACRO, "bounds": BOUNDS,
          "mailbox": MAILBOX, "remote": REMOTE, "cluster": CLUSTER}

# With another number of workers there is nothing to measure, or nothing else.
TWO_WORKERS = {"pingpong-cross", "message-cross"}
ONE_WORKER = {id_ for id_ in MICRO if id_.split("-")[0] in ("contend", "alloc", "timer")} | {
    "message-same", "spawn-call"}
FIXED = {"skynet", "n-queens", "sieve"}  # --quick does not make them smaller

# What is aimed at with one worker and with two: rates at least, times and bytes at most.
GOALS = {
    "pingpong": (20, 20),
    "pingpong-cross": (None, 150),
    "fanin-1": (60, 40),
    "fanin-2": (60, 40),
    "fanin-8": (60, 45),
    "fanin-32": (50, 40),
    "ring": (100, 180),
    "threadring": (30, 30),
    "spawn": (6, 8),
    "actor-bytes": (192, 192),
    "skynet": (0.25, 0.12),
    "big": (40, 40),
    "payload": (50, 40),
    "remote-stream-64": (2.0, None),
}

GOALS_OF_LIMIT = {"remote-pingpong": 1.25}  # at most so many times the limit of the same run


def group_of(id_):
    return next(group for group, ids in GROUPS.items() if id_ in ids)


def is_rate(unit):
    return unit.endswith("/s")


def goal_of(line, limit=None):
    """The goal of a line as a number; None: it has none."""
    if line["impl"] != "zactor" or line["workers"] > 2:
        return None
    if line["id"] in GOALS_OF_LIMIT:
        return GOALS_OF_LIMIT[line["id"]] * limit["median"] if limit else None
    goal = GOALS.get(line["id"])
    return None if goal is None else goal[line["workers"] - 1]


def is_met(line, limit=None):
    """Whether the goal of a line is met; None: it has none."""
    if "holds" in line:
        return line["holds"]
    goal = goal_of(line, limit)
    if goal is None:
        return None
    return line["median"] >= goal if is_rate(line["unit"]) else line["median"] <= goal
