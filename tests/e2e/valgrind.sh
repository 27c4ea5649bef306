#!/usr/bin/env bash
# valgrind.sh ZACTORD ZACTORCTL HELLO: two nodes that talk over TLS and leave, under valgrind: no bad
# access, and every byte that was taken is given back. Nothing is suppressed.
set -uo pipefail
zactord=$1
zactorctl=$2
hello=$3
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
if ! command -v valgrind >/dev/null; then
    echo "skipped: valgrind is not installed"
    exit 77
fi

# watched NODE ARGUMENT...: the example as a node under valgrind.
watched()
{
    local node=$1
    shift
    # One worker: valgrind runs one thread at a time anyway.
    valgrind --fair-sched=yes --leak-check=full --show-leak-kinds=definite,indirect \
        --errors-for-leak-kinds=definite,indirect --error-exitcode=99 \
        --log-file="$work/$node.valgrind" "$hello" --node-name "$node" --node-listen 127.0.0.1:0 \
        --node-socket "$work/$node.sock" --node-workers 1 --limits-pool-mb 32 \
        --cluster-name orders --tls-ca "$pki/ca.crt" --tls-cert "$pki/$node.crt" \
        --tls-key "$pki/$node.key" "$@" 2>>"$work/$node.log" &
    pids[$node]=$!
    wait_until answers "$node"
}

no_loss()
{
    grep -qF "no leaks are possible" "$1" ||
        [ "$(grep -cE '(definitely|indirectly) lost: 0 bytes in 0 blocks' "$1")" -eq 2 ]
}

# check NODE: what valgrind says of it in the end.
check()
{
    local log=$work/$1.valgrind
    if ! no_loss "$log" ||
        ! grep -qF "ERROR SUMMARY: 0 errors from 0 contexts (suppressed: 0 from 0)" "$log"; then
        fail "$1: $(cat "$log")"
    fi
}

issue alpha
issue beta
issue ops --role admin
watched alpha
watched beta --cluster-seeds "$(address alpha)"
for node in alpha beta; do
    wait_until has_up "$node" 2
    # Its own greeter and the other's have answered: the second answer came over the wire.
    wait_until logged "$node" "greeted 2: hi"
done

# Other ways through the code: an operator over TLS, a stranger, a peer that dies without a word.
ctl_tls "$(address alpha)" ops members >/dev/null || fail "members over TLS: $?"
printf 'GET / HTTP/1.1\r\n\r\n' >"/dev/tcp/$(address alpha | tr : /)" || fail "no stranger"
wait_until logged alpha "does not speak TLS"
issue gamma
start gamma --cluster-seeds "$(address alpha)"
wait_until has_up alpha 3
abandon gamma
wait_until is_seen alpha gamma down

stop beta
ctl alpha leave --yes >/dev/null || fail "leave: $?"
wait "${pids[alpha]}" || fail "alpha ended with $?"
unset "pids[alpha]"
check alpha
check beta
finish
