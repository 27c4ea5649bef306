#!/usr/bin/env bash
# cluster.sh ZACTORD ZACTORCTL: three nodes on loopback with mutual TLS, looked at and operated with
# zactorctl over the unix socket and over TLS. Free ports; each wait ends as soon as it may.
set -uo pipefail
zactord=$1
zactorctl=$2
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../e2e/lib.sh"

alpha= # its address
# shellcheck disable=SC2317 # called by wait_until
gone_from() { [ "$(state "$1" "$2")" = left ]; }

three_nodes --cluster-timing local
issue ops --role client,admin
issue viewer --role client

# Looking.
ctl beta status >/dev/null || fail "status of a healthy cluster: $?"
[ "$(ctl alpha members -o name | tr '\n' ' ')" = "alpha beta gamma " ] || fail "members -o name"
ctl alpha members --no-headers | grep -q '^NODE' && fail "--no-headers"
ctl alpha ping gamma -o name | grep -qx gamma || fail "ping gamma"
ctl alpha ping nobody >/dev/null 2>&1
[ $? -eq 1 ] || fail "ping of an unknown node is a no"
ctl alpha names -o json | grep -q '"names"' || fail "names"
ctl alpha groups -o json | grep -q '"groups"' || fail "groups"
ctl alpha actors -o json | grep -q '"actors"' || fail "actors"
ctl alpha metrics >"$work/metrics" || fail "metrics"
grep -q "^zactor_class_latency_seconds_bucket{class=\".*,le=\"+Inf\"} [0-9]" "$work/metrics" ||
    fail "a histogram of a class: $(head -c 300 "$work/metrics")"
ctl alpha metrics -o json | grep -q '"metric": *"zactor_uptime_seconds"' || fail "metrics as JSON"

# Over TLS: anyone of the cluster may look, only an administrator may act.
[ "$(ctl_tls "$alpha" viewer members -o name | wc -l)" -eq 3 ] || fail "members over TLS"
ctl_tls "$alpha" viewer down gamma --yes 2>/dev/null
[ $? -eq 5 ] || fail "a viewer must be denied"
has_up alpha 3 || fail "a denied request did something"
"$zactorctl" ca init --cluster orders --dir "$work/other" >/dev/null
"$zactorctl" ca issue ops --role admin --dir "$work/other" >/dev/null
if "$zactorctl" --addr "$alpha" --ca "$pki/ca.crt" --cert "$work/other/ops.crt" \
    --key "$work/other/ops.key" members >"$work/out" 2>"$work/err"; then
    fail "another authority's certificate was let in"
fi
[ ! -s "$work/out" ] || fail "a refusal prints data: $(cat "$work/out")"
[ -s "$work/err" ] || fail "a refusal does not say why"

# A node that dies without a word is found out, and comes back under its name.
abandon gamma
wait_until has_up alpha 2
start gamma --cluster-seeds "$alpha" --cluster-timing local
wait_until has_up alpha 3

# An operator makes one leave, and a signal another: both end well and are gone at once.
ctl beta leave --yes >/dev/null || fail "leave: $?"
ended beta leave
wait_until gone_from alpha beta
stop gamma
wait_until has_up alpha 1

# One that finds nobody is no member, and says so.
start gamma --cluster-seeds 127.0.0.1:1 --cluster-timing local
[ "$(ctl gamma status -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["health"])')" = joining ] ||
    fail "the health of a node that joins"
ctl gamma status >/dev/null && fail "a node that joins is no healthy member"
stop gamma

stop alpha INT
grep -hE 'level=error|Sanitizer' "$work"/*.log && fail "errors in the logs"

finish
