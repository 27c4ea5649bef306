#!/usr/bin/env bash
# room.sh ROOM: the guests of two nodes hear of each other, and of the end of one.
set -euo pipefail
# shellcheck source=tests/examples/lib.sh
. "$(dirname "$0")/lib.sh"

start "$1"
wait_for "$work/log" "from alpha"
"$1" --node-name beta --node-listen 127.0.0.1:0 --cluster-seeds "127.0.0.1:$port" \
    --tls-insecure true 2>"$work/beta.log" &
others+=($!)
wait_for "$work/log" "2 in the room"
wait_for "$work/log" "from beta"
wait_for "$work/beta.log" "2 in the room"
kill -TERM "${others[0]}"
wait "${others[0]}" || die "beta ended with status $?"
wait_for "$work/log" "is left"
for ((i = 0; i < 1000; i++)); do
    [ "$(grep -c "1 in the room" "$work/log")" -lt 2 ] || break
    sleep 0.02
done
[ "$(grep -c "1 in the room" "$work/log")" -eq 2 ] || die "alone again, and not told so"
stop
