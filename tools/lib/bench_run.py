"""Running programs for tools/bench."""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build", "bench")
RUN_SECONDS_MAX = 600


class Failed(Exception):
    """A program that should have measured did not."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def quietly(what, command, **options):
    """Runs a command; shows its output only if it fails."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False, **options)
    if done.returncode != 0:
        say("\n".join(done.stdout.splitlines()[-40:]))
        raise Failed(what)


def run_program(command, seconds=RUN_SECONDS_MAX):
    """The JSON objects that a program prints; one that takes longer than `seconds` is stopped."""
    environment = dict(os.environ, ERL_CRASH_DUMP="/dev/null")
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, errors="replace", check=False,
                              env=environment, timeout=seconds)
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{' '.join(command)}: no end after {seconds} s") from late
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit {done.returncode}\n"
                     + "\n".join(done.stderr.splitlines()[-5:]))
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
