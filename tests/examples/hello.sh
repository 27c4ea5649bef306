#!/usr/bin/env bash
# hello.sh HELLO: the example greets itself, and ends when it is told to.
set -euo pipefail
# shellcheck source=tests/examples/lib.sh
. "$(dirname "$0")/lib.sh"

start "$1"
wait_for "$work/log" "greeted 1: hi (1)"
stop
