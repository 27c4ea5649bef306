#!/usr/bin/env bash
# cluster.sh ZACTORD ZACTORCTL: three nodes on loopback with mutual TLS, looked at and operated with
# zactorctl over the unix socket and over TLS. Free ports; each wait ends as soon as it may.
set -uo pipefail
zactord=$1
zactorctl=$2
work=$(mktemp -d)
unset "${!ZACTOR_@}"
declare -A pids
failures=0
WAIT_STEPS=600 # of 50 ms: a bound for a machine that is busy, not a delay

stop_all()
{
    local node
    for node in "${!pids[@]}"; do
        kill -KILL "${pids[$node]}" 2>/dev/null
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

ctl() { "$zactorctl" --socket "$work/$1.sock" "${@:2}"; }

# ctl_tls CERTIFICATE ARGUMENT...: asks alpha over TLS.
ctl_tls()
{
    "$zactorctl" --addr "$alpha" --ca "$work/pki/ca.crt" --cert "$work/pki/$1.crt" \
        --key "$work/pki/$1.key" "${@:2}"
}

# member NODE OF FIELD: what NODE says of member OF; nothing if it knows none.
member()
{
    ctl "$1" members -o json 2>/dev/null | python3 -c '
import json, sys
for member in json.load(sys.stdin)["members"]:
    if member["node"] == sys.argv[1] and member["state"] not in ("left", "down"):
        print(member[sys.argv[2]])' "$2" "$3" 2>/dev/null
}

# up_count NODE: how many members NODE sees as up.
up_count()
{
    ctl "$1" members -o jsonl 2>/dev/null | grep -c '"state":"up"'
}

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

has_up() { [ "$(up_count "$1")" -eq "$2" ]; }
answers() { ctl "$1" ping >/dev/null 2>&1; }
gone_from() { [ -z "$(member "$1" "$2" node)" ]; }

start()
{
    local node=$1
    shift
    "$zactord" --node-name "$node" --node-listen 127.0.0.1:0 --node-socket "$work/$node.sock" \
        --node-workers 2 --cluster-name orders --cluster-timing local --limits-pool-mb 32 \
        --tls-ca "$work/pki/ca.crt" --tls-cert "$work/pki/$node.crt" \
        --tls-key "$work/pki/$node.key" "$@" 2>>"$work/$node.log" &
    pids[$node]=$!
    wait_until answers "$node"
}

"$zactorctl" ca init --cluster orders --dir "$work/pki" >/dev/null || give_up "ca init"
for node in alpha beta gamma; do
    "$zactorctl" ca issue "$node" --dir "$work/pki" >/dev/null || give_up "ca issue"
done
"$zactorctl" ca issue ops --role client,admin --dir "$work/pki" >/dev/null || give_up "ca issue"
"$zactorctl" ca issue viewer --role client --dir "$work/pki" >/dev/null || give_up "ca issue"

start alpha
alpha=$(member alpha alpha address)
start beta --cluster-seeds "$alpha"
start gamma --cluster-seeds "$alpha"
for node in alpha beta gamma; do
    wait_until has_up "$node" 3
done

# Looking.
ctl beta status >/dev/null || fail "status of a healthy cluster: $?"
[ "$(ctl alpha members -o name | tr '\n' ' ')" = "alpha beta gamma " ] || fail "members -o name"
ctl alpha members --no-headers | grep -q '^NODE' && fail "--no-headers"
ctl alpha ping gamma -o name | grep -qx gamma || fail "ping gamma"
ctl alpha ping nobody >/dev/null 2>&1
[ $? -eq 1 ] || fail "ping of an unknown node is a no"
ctl alpha names -o json | grep -q '"names"' || fail "names"
ctl alpha actors -o json | grep -q '"actors"' || fail "actors"
ctl alpha metrics >"$work/metrics" || fail "metrics"
grep -q "^zactor_class_latency_seconds_bucket{class=\".*,le=\"+Inf\"} [0-9]" "$work/metrics" ||
    fail "a histogram of a class: $(head -c 300 "$work/metrics")"
ctl alpha metrics -o json | grep -q '"metric": *"zactor_uptime_seconds"' || fail "metrics as JSON"

# Over TLS: anyone of the cluster may look, only an administrator may act.
[ "$(ctl_tls viewer members -o name | wc -l)" -eq 3 ] || fail "members over TLS"
ctl_tls viewer down gamma --yes 2>/dev/null
[ $? -eq 5 ] || fail "a viewer must be denied"
has_up alpha 3 || fail "a denied request did something"
"$zactorctl" ca init --cluster orders --dir "$work/other" >/dev/null
"$zactorctl" ca issue ops --role admin --dir "$work/other" >/dev/null
if "$zactorctl" --addr "$alpha" --ca "$work/pki/ca.crt" --cert "$work/other/ops.crt" \
    --key "$work/other/ops.key" members >"$work/out" 2>"$work/err"; then
    fail "another authority's certificate was let in"
fi
[ ! -s "$work/out" ] || fail "a refusal prints data: $(cat "$work/out")"
[ -s "$work/err" ] || fail "a refusal does not say why"

# A node that dies without a word is found out, and comes back under its name.
kill -KILL "${pids[gamma]}"
wait "${pids[gamma]}" 2>/dev/null
unset "pids[gamma]"
wait_until has_up alpha 2
start gamma --cluster-seeds "$alpha"
wait_until has_up alpha 3

# An operator makes one leave, and a signal another: both end well and are gone at once.
ctl beta leave --yes >/dev/null || fail "leave: $?"
wait "${pids[beta]}" || fail "zactord ends with $? after leave"
unset "pids[beta]"
wait_until gone_from alpha beta
kill -TERM "${pids[gamma]}"
wait "${pids[gamma]}" || fail "zactord ends with $? after SIGTERM"
unset "pids[gamma]"
wait_until has_up alpha 1

kill -INT "${pids[alpha]}"
wait "${pids[alpha]}" || fail "zactord ends with $? after SIGINT"
unset "pids[alpha]"
grep -hE 'level=error|Sanitizer' "$work"/*.log && fail "errors in the logs"

echo "$failures failures"
[ "$failures" -eq 0 ]
