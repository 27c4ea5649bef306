#!/usr/bin/env bash
# strangers.sh ZACTORD ZACTORCTL IMPOSTOR: who may not be a member is refused by a running node, with
# a line in its log that says why and a count, and the node serves on.
# shellcheck disable=SC2317 # functions are called through refused and wait_until
set -uo pipefail
zactord=$1
zactorctl=$2
impostor=$3
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

issue alpha
issue beta
issue gamma
issue mallory --cluster shipments # of our authority, but for another cluster
"$zactorctl" ca init --cluster orders --dir "$work/other" >/dev/null || give_up "ca init"
"$zactorctl" ca issue mallory --dir "$work/other" >/dev/null || give_up "ca issue"

start alpha --cluster-id 1
alpha=$(address alpha)

# says_since LINES WHY: after so many lines of its log, alpha says that it refused somebody.
says_since()
{
    awk -v after="$1" -v why="$2" 'NR > after && /refused: / && index($0, why) { found = 1 }
        END { exit !found }' "$work/alpha.log"
}
has_refused() { [ "$(counter alpha links_refused)" -gt "$1" ]; }

# meet COMMAND...: the command meets alpha, which counts that it refused it; $lines: of its log, before.
meet()
{
    local before status=0
    before=$(counter alpha links_refused)
    lines=$(wc -l <"$work/alpha.log")
    "$@" >"$work/out" 2>&1 || status=$?
    [ "$status" -eq 0 ] || fail "$*: status $status: $(cat "$work/out")"
    # The peer may hear of it a moment before the log and the counter do.
    wait_until has_refused "$before"
    has_up alpha 1 || fail "$*: let in"
}

# refused WHY COMMAND...: alpha refuses it, and says why.
refused()
{
    meet "${@:2}"
    wait_until says_since "$lines" "$1"
}

# refused_again WHY COMMAND...: as a moment ago from the same host, which is counted and has no line.
refused_again()
{
    meet "${@:2}"
    says_since "$lines" "$1" && fail "$1: said again"
}

# intrude ARGUMENT...: a zactord that wants to join alpha; done when alpha has refused it.
intrude()
{
    local before
    before=$(counter alpha links_refused)
    launch intruder --cluster-seeds "$alpha" "$@"
    wait_until has_refused "$before"
    abandon intruder
}

greet() { timeout 90 "$impostor" greet "$alpha" "$@"; }
stranger() { timeout 90 "$here/stranger.py" "$alpha" "$@"; }

# Those that the deadline ends: 10 s for the handshake, 5 s for the Hello. All of them wait at once.
for how in nothing half; do
    timeout 90 "$here/stranger.py" "$alpha" "$how" &
    pids[$how]=$!
done
timeout 90 "$impostor" silent "$alpha" "$pki/ca.crt" "$pki/gamma.crt" "$pki/gamma.key" \
    >"$work/silent.out" &
pids[silent]=$!

# Another authority: each side sees it of the other, and says so.
refused "the peer refused us: our certificate is not of its authority" intrude --node-name mallory --cluster-name orders \
    --tls-ca "$work/other/ca.crt" --tls-cert "$work/other/mallory.crt" \
    --tls-key "$work/other/mallory.key"
logged intruder "not of our authority" || fail "the intruder does not say why"
refused "the peer's certificate is not of our authority" intrude --node-name mallory \
    --cluster-name orders --tls-ca "$pki/ca.crt" --tls-cert "$work/other/mallory.crt" \
    --tls-key "$work/other/mallory.key"

# A sound certificate, but another's name; zactord itself would not start with it.
refused "the announced name is not that of the certificate: it is alpha of orders" \
    greet "$pki/ca.crt" "$pki/beta.crt" "$pki/beta.key" orders alpha 1
launch intruder --node-name alpha --cluster-name orders --cluster-seeds "$alpha" \
    --tls-ca "$pki/ca.crt" --tls-cert "$pki/beta.crt" --tls-key "$pki/beta.key"
wait "${pids[intruder]}"
status=$?
unset "pids[intruder]"
[ "$status" -eq 2 ] || fail "started with the certificate of another node: $status"
logged intruder "is the certificate of node beta, not of alpha" || fail "does not say whose it is"

# Dates.
"$impostor" issue "$pki/ca.crt" "$pki/ca.key" orders late "$pki/late.crt" "$pki/late.key" \
    -7200 -3600 || give_up "issue"
"$impostor" issue "$pki/ca.crt" "$pki/ca.key" orders early "$pki/early.crt" "$pki/early.key" \
    3600 7200 || give_up "issue"
refused "the peer's certificate has expired: zactor://orders/late" \
    greet "$pki/ca.crt" "$pki/late.crt" "$pki/late.key" orders late 1
refused "the peer's certificate is not yet valid: zactor://orders/early" \
    greet "$pki/ca.crt" "$pki/early.crt" "$pki/early.key" orders early 1
refused_again "the peer's certificate has expired" intrude --node-name late --cluster-name orders \
    --tls-ca "$pki/ca.crt" --tls-cert "$pki/late.crt" --tls-key "$pki/late.key"

# Other clusters: by number, by name in the certificate, by name in the Hello alone.
refused "another cluster" intrude --node-name beta --cluster-name orders --cluster-id 2 \
    --tls-ca "$pki/ca.crt" --tls-cert "$pki/beta.crt" --tls-key "$pki/beta.key"
refused "another cluster: it is beta of orders" \
    greet "$pki/ca.crt" "$pki/beta.crt" "$pki/beta.key" orders beta 2
# Its own side refuses alpha first: a node of shipments expects no certificate of orders.
refused "the peer refused us" intrude --node-name mallory --cluster-name shipments \
    --tls-ca "$pki/ca.crt" --tls-cert "$pki/mallory.crt" --tls-key "$pki/mallory.key"
logged intruder "the peer's certificate is of another cluster: zactor://orders/alpha" ||
    fail "the intruder does not say why"
refused "another cluster: it is beta of shipments" \
    greet "$pki/ca.crt" "$pki/beta.crt" "$pki/beta.key" shipments beta 1

# No peers at all.
refused "the peer showed no certificate" stranger no-certificate
refused "the peer does not speak TLS" stranger random
refused "the peer does not speak TLS" stranger http
refused "the peer broke TLS" stranger later

# What waited for the deadline.
for how in nothing half silent; do
    wait "${pids[$how]}" || fail "$how: $? $(cat "$work/silent.out")"
    unset "pids[$how]"
done
[ "$(grep -c 'refused: the peer did not finish the handshake in 10 s' "$work/alpha.log")" -eq 1 ] ||
    fail "alpha does not say once that two peers were silent"
logged alpha "refused: the peer did not finish its greeting in 5 s" || fail "alpha does not say that one said no Hello"

# Each line was counted, and so was what had none: the two above.
all_counted()
{
    [ "$(counter alpha links_refused)" -ge "$(($(grep -c 'refused: ' "$work/alpha.log") + 2))" ]
}
wait_until all_counted

# More silent strangers than there is room for: the operator is served all the same.
mkfifo "$work/hold"
"$here/stranger.py" "$alpha" crowd 100 <"$work/hold" >"$work/crowd.out" &
pids[crowd]=$!
exec 9>"$work/hold"
wait_until grep -q held "$work/crowd.out"
answers alpha || fail "a crowd of strangers keeps the operator out"
exec 9>&-
wait "${pids[crowd]}" || fail "the crowd ended with $?"
unset "pids[crowd]"

# Who belongs to the cluster joins, and the refused have left nothing behind.
start beta --cluster-id 1 --cluster-seeds "$alpha"
wait_until has_up alpha 2
wait_until has_up beta 2
start gamma --cluster-seeds "$alpha" # does not know the number yet
wait_until has_up alpha 3
[ -z "$(state alpha mallory)$(state alpha late)" ] || fail "a refused node is a member"
grep -h 'level=error' "$work/alpha.log" && fail "a stranger is no error of ours"
stop gamma
stop beta
stop alpha
finish
