"""Erlang and CAF as tools/bench runs them: built, started, and as a pair of nodes."""
import os
import shutil
import socket
import subprocess
import tempfile
import time

from bench_run import BUILD, ROOT, Failed, quietly, run_program

PACKAGES = ["erlang-base", "erlang-crypto", "erlang-asn1", "erlang-public-key", "erlang-ssl",
            "g++", "libcaf-dev"]
FOLDER = os.path.join(BUILD, "peers")
FAR_START_SECONDS = 20
RUN_SECONDS_MAX = 60  # CAF 1.1's spawn at two workers takes 2 s, or never ends


def is_older(made, source):
    return not os.path.exists(made) or os.path.getmtime(made) < os.path.getmtime(source)


def build():
    os.makedirs(FOLDER, exist_ok=True)
    source = os.path.join(ROOT, "bench", "peers", "caf.cpp")
    made = os.path.join(FOLDER, "caf")
    if is_older(made, source):
        quietly("building caf", ["g++", "-O3", "-DNDEBUG", "-std=c++17", source, "-o", made,
                                 "-lcaf_core", "-pthread"])
    source = os.path.join(ROOT, "bench", "peers", "bench_erlang.erl")
    if is_older(os.path.join(FOLDER, "bench_erlang.beam"), source):
        quietly("building erlang", ["erlc", "-o", FOLDER, source])


def run(command, id_, impl, workers, unit, params, case=""):
    """One run of a peer, in the form of ours."""
    result = run_program(command, RUN_SECONDS_MAX)[0]
    line = {"id": id_, **({"case": case} if case else {}), "impl": impl, "workers": workers,
            "unit": unit, "median": result["value"], "min": result["value"],
            "max": result["value"], "runs": 1, "params": params}
    if "p99" in result:
        line["p99"] = result["p99"]
    return [line]


def erlang(id_, workers, unit, count, messages):
    command = ["erl", "-noshell", "+S", f"{workers}:{workers}", "+P", "2000000", "-pa", FOLDER,
               "-run", "bench_erlang", "main", id_, str(count), str(messages)]
    return run(command, id_, "erlang", workers, unit, {"messages": messages, "count": count})


def caf(id_, workers, unit, count, messages):
    command = [os.path.join(FOLDER, "caf"), str(workers), id_, str(count), str(messages)]
    return run(command, id_, "caf", workers, unit, {"messages": messages, "count": count})


class ErlangPair:
    """Two Erlang nodes over TLS with certificates of our own authority, without epmd."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="zactor-bench-")
        self.far = None

    def __enter__(self):
        tool = os.path.join(BUILD, "tools", "zactorctl")
        quietly("certificates", [tool, "ca", "init", "--cluster", "bench", "--dir", self.folder])
        for name in ("near", "far"):
            quietly("certificates", [tool, "ca", "issue", name, "--dns", "localhost", "--dir",
                                     self.folder])
        with open(os.path.join(self.folder, "dist.conf"), "w", encoding="utf-8") as file:
            file.write("[" + ", ".join(self.side(*side) for side in (
                ("server", "far", "{fail_if_no_peer_cert, true}"),
                ("client", "near", "{verify, verify_peer}"))) + "].\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # pylint: disable-next=consider-using-with # ended in __exit__
        self.far = subprocess.Popen(self.node("far") + ["-run", "bench_erlang", "far"],
                                    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL,
                                    env=dict(os.environ, ERL_CRASH_DUMP="/dev/null"))
        self.wait_for_far()
        return self

    def __exit__(self, *_):
        if self.far is not None:
            self.far.stdin.close()  # tells it to end
            try:
                self.far.wait(5)
            except subprocess.TimeoutExpired:
                self.far.kill()
                self.far.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def side(self, role, name, extra):
        folder = self.folder
        return (f'{{{role}, [{{certfile, "{folder}/{name}.crt"}}, {{keyfile, "{folder}/{name}.key"}},'
                f' {{cacertfile, "{folder}/ca.crt"}}, {{verify, verify_peer}}, {extra},'
                f" {{versions, ['tlsv1.3']}}]}}")

    def node(self, name):
        return ["erl", "-noshell", "-sname", f"{name}@localhost", "-setcookie", "bench",
                "-proto_dist", "inet_tls", "-ssl_dist_optfile", f"{self.folder}/dist.conf",
                "-start_epmd", "false", "-erl_epmd_port", str(self.port), "-kernel",
                "inet_dist_use_interface", "{127,0,0,1}", "+S", "1:1", "-pa", FOLDER]

    def wait_for_far(self):
        until = time.monotonic() + FAR_START_SECONDS
        while time.monotonic() < until and self.far.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise Failed("the far Erlang node does not start")

    def near(self, id_, pairs, messages):
        return self.node("near") + ["-dist_listen", "false", "-run", "bench_erlang", "near", id_,
                                    str(pairs), str(messages)]


def erlang_remote(id_, unit, variants, messages):
    lines = []
    with ErlangPair() as pair:
        for pairs in variants:
            params = {"bytes": 64, "tls": True, "messages": messages}
            if len(variants) > 1:
                params["pairs"] = pairs
            lines += run(pair.near(id_, pairs, messages), id_, "erlang", 1, unit, params,
                         f"x{pairs}" if len(variants) > 1 else "")
    return lines
