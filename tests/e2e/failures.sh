#!/usr/bin/env bash
# failures.sh ZACTORD ZACTORCTL: three nodes with the times for a LAN. A process that dies is down for
# the others within 2 s; one that freezes is unreachable within 6 s and down 5 to 10 s later; and when
# it goes on it is a member again.
set -uo pipefail
zactord=$1
zactorctl=$2
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# within LEAST_MS MOST_MS ELAPSED_MS WHAT
within()
{
    echo "$4: $3 ms"
    if [ "$3" -lt "$1" ] || [ "$3" -gt "$2" ]; then
        fail "$4 after $3 ms, not within $1..$2 ms"
    fi
}

alpha= # its address
three_nodes --cluster-timing lan

# The logs' times tell how long it took: asking would measure zactorctl.
kill_ms=$(now_ms)
kill -KILL "${pids[gamma]}"
wait "${pids[gamma]}" 2>/dev/null
unset "pids[gamma]"
for node in alpha beta; do
    wait_until is_seen "$node" gamma down
    within 0 2000 $(($(log_ms "$node" "is down") - kill_ms)) "killed: down at $node"
done

start gamma --cluster-seeds "$alpha"
for node in alpha beta gamma; do
    wait_until has_up "$node" 3
done
: >"$work/alpha.log"
: >"$work/beta.log"
stop_ms=$(now_ms)
kill -STOP "${pids[gamma]}"
for node in alpha beta; do
    wait_until is_seen "$node" gamma unreachable down
    unreachable_ms=$(log_ms "$node" "is unreachable")
    within 0 6000 $((unreachable_ms - stop_ms)) "frozen: unreachable at $node"
done
for node in alpha beta; do
    wait_until is_seen "$node" gamma down
    unreachable_ms=$(log_ms "$node" "is unreachable")
    within 4900 10000 $(($(log_ms "$node" "is down") - unreachable_ms)) "unreachable: down at $node"
done
kill -CONT "${pids[gamma]}"
for node in alpha beta gamma; do
    wait_until has_up "$node" 3
done
logged gamma "reborn as" || fail "gamma does not say that it was reborn"

# A shorter pause costs nothing but doubt: the same process, in the same life.
sleep 1 # the pause of the case, not a wait for something
uid_of_gamma()
{
    ctl alpha members -o json | python3 -c '
import json, sys
print([m["uid"] for m in json.load(sys.stdin)["members"] if m["node"] == "gamma" and m["state"] == "up"])'
}
uid=$(uid_of_gamma)
: >"$work/alpha.log"
kill -STOP "${pids[gamma]}"
wait_until logged alpha "is suspect"
kill -CONT "${pids[gamma]}"
wait_until logged alpha "is up"
wait_until has_up alpha 3
logged alpha "is down" && fail "a short pause ended gamma"
[ "$(uid_of_gamma)" = "$uid" ] || fail "gamma has another life"

for node in gamma beta alpha; do
    stop "$node"
done
finish
