# Whole nodes as processes, for the scripts beside it. Each wait ends as soon as it may.
# shellcheck shell=bash
# shellcheck disable=SC2317 # used by the scripts that source this
: "${zactord:?}" "${zactorctl:?}" # the programs to be tested

work=$(mktemp -d "${TMPDIR:-/tmp}/zactor-e2e.XXXXXX")
pki=$work/pki
unset "${!ZACTOR_@}"
declare -A pids # of what stop_all must end
failures=0
WAIT_STEPS=600 # of 50 ms: a bound for a machine that is busy, not a delay

stop_all()
{
    local name
    for name in "${!pids[@]}"; do
        kill -CONT "${pids[$name]}" 2>/dev/null
        kill -KILL "${pids[$name]}" 2>/dev/null
    done
    wait
    rm -rf "$work"
}
trap stop_all EXIT

fail()
{
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

give_up()
{
    fail "$@"
    tail -n 20 "$work"/*.log >&2
    exit 1
}

finish()
{
    echo "$failures failures"
    if [ "$failures" -gt 0 ]; then
        tail -n 20 "$work"/*.log >&2
    fi
    [ "$failures" -eq 0 ]
    exit
}

ctl() { timeout 30 "$zactorctl" --socket "$work/$1.sock" "${@:2}"; }

# ctl_tls ADDRESS CERTIFICATE ARGUMENT...
ctl_tls()
{
    timeout 30 "$zactorctl" --addr "$1" --ca "$pki/ca.crt" --cert "$pki/$2.crt" --key "$pki/$2.key" \
        "${@:3}"
}

# state NODE OF: what NODE says of OF's newest life; nothing if it does not know OF.
state()
{
    ctl "$1" members -o json 2>/dev/null | python3 -c '
import json, sys
found = [m for m in json.load(sys.stdin)["members"] if m["node"] == sys.argv[1]]
live = [m for m in found if m["state"] not in ("left", "down")]
for member in sorted(live or found, key=lambda m: m["since_ms"])[:1]:
    print(member["state"])' "$2" 2>/dev/null
}

address()
{
    ctl "$1" members -o json | python3 -c '
import json, sys
print([m["address"] for m in json.load(sys.stdin)["members"] if m["node"] == sys.argv[1]][0])' "$1"
}

# counter NODE NAME
counter()
{
    ctl "$1" status -o json | python3 -c '
import json, sys
print(json.load(sys.stdin)["counters"][sys.argv[1]])' "$2"
}

up_count() { ctl "$1" members -o jsonl 2>/dev/null | grep -c '"state":"up"'; }
has_up() { [ "$(up_count "$1")" -eq "$2" ]; }
is_seen() { [[ " ${*:3} " == *" $(state "$1" "$2") "* ]]; } # is_seen NODE OF STATE...
answers() { ctl "$1" members >/dev/null 2>&1; } # also while it joins
has_ended() { ! kill -0 "$1" 2>/dev/null; }
logged() { grep -qF -- "$2" "$work/$1.log"; } # logged NODE TEXT

# wait_until COMMAND...: until it succeeds.
wait_until()
{
    local step
    for ((step = 0; step < WAIT_STEPS; step++)); do
        if "$@"; then
            return 0
        fi
        sleep 0.05
    done
    give_up "never: $*"
}

# launch NODE ARGUMENT...: zactord with what all of these tests want.
launch()
{
    local node=$1
    shift
    "$zactord" --node-name "$node" --node-listen 127.0.0.1:0 --node-socket "$work/$node.sock" \
        --node-workers 2 --limits-pool-mb 32 "$@" 2>>"$work/$node.log" &
    pids[$node]=$!
}

# start NODE ARGUMENT...: a member of orders with its certificate; returns when it answers.
start()
{
    local node=$1
    shift
    launch "$node" --cluster-name orders --tls-ca "$pki/ca.crt" --tls-cert "$pki/$node.crt" \
        --tls-key "$pki/$node.key" "$@"
    wait_until answers "$node"
}

# three_nodes ARGUMENT...: alpha, beta and gamma, which all see three; alpha's address in $alpha.
three_nodes()
{
    local node
    for node in alpha beta gamma; do
        issue "$node"
    done
    start alpha "$@"
    alpha=$(address alpha)
    start beta --cluster-seeds "$alpha" "$@"
    start gamma --cluster-seeds "$alpha" "$@"
    for node in alpha beta gamma; do
        wait_until has_up "$node" 3
    done
}

# ended NODE HOW: its process must end with status 0.
ended()
{
    wait "${pids[$1]}" || fail "$1 ended with status $? after $2"
    unset "pids[$1]"
}

# stop NODE [SIGNAL]: SIGTERM or the other must end it with status 0.
stop()
{
    kill -"${2:-TERM}" "${pids[$1]}"
    ended "$1" "SIG${2:-TERM}"
}

# abandon NODE: ends it without a word.
abandon()
{
    kill -CONT "${pids[$1]}" 2>/dev/null
    kill -KILL "${pids[$1]}" 2>/dev/null
    wait "${pids[$1]}" 2>/dev/null
    unset "pids[$1]"
}

# issue NODE ARGUMENT...: certificates below $pki; the authority is made when it is missing.
issue()
{
    [ -e "$pki/ca.crt" ] || "$zactorctl" ca init --cluster orders --dir "$pki" >/dev/null ||
        give_up "ca init"
    "$zactorctl" ca issue "$@" --dir "$pki" >/dev/null || give_up "ca issue $*"
}

now_ms() { date +%s%3N; }

# log_ms NODE TEXT: when its log first said so, Unix ms.
log_ms()
{
    date -d "$(grep -m1 -F -- "$2" "$work/$1.log" | sed 's/^time=\([^ ]*\) .*/\1/')" +%s%3N
}
