#!/usr/bin/env bash
# czmq.sh WORK: a user's project that links CZMQ as well, against what run.sh installed below WORK.
set -euo pipefail
work=$1
source=$(cd "$(dirname "$0")/czmq" && pwd)
if ! pkg-config --exists libczmq; then
    echo "skipped: CZMQ is not installed (package libczmq-dev)"
    exit 77
fi
rm -rf "$work/czmq"
cmake -G Ninja -S "$source" -B "$work/czmq" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/czmq" >"$work/czmq.log" 2>&1 || { cat "$work/czmq.log"; exit 1; }
timeout 60 "$work/czmq/both_shared"
timeout 60 "$work/czmq/both_static"
