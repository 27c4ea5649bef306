#!/usr/bin/env bash
# stopping.sh ZACTORD ZACTORCTL: a node ends in time when a peer does not answer, and a name belongs
# to the process that has it.
set -uo pipefail
zactord=$1
zactorctl=$2
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
LEAVE_MS=6000 # leave_timeout_ms of 5 s, and a busy machine

alpha= # its address
three_nodes --cluster-timing lan

# The same name from another place, while its holder lives: refused, at the holder and at another.
for seed in "$alpha" "$(address gamma)"; do
    launch second --node-name alpha --cluster-name orders --cluster-seeds "$seed" \
        --tls-ca "$pki/ca.crt" --tls-cert "$pki/alpha.crt" --tls-key "$pki/alpha.key"
    wait_until logged second "the cluster refused this node: the name alpha is in use by a live member"
    has_up beta 3 || fail "the second alpha changed the cluster"
    [ "$(address alpha)" = "$alpha" ] || fail "the second alpha took the first one's place"
    stop second
    : >"$work/second.log"
done
[ "$(address alpha)" = "$alpha" ] || fail "the first alpha is gone"

# A peer that is frozen does not hold the end up.
kill -STOP "${pids[gamma]}"
begin_ms=$(now_ms)
stop beta
end_ms=$(now_ms)
echo "SIGTERM beside a frozen peer: $((end_ms - begin_ms)) ms"
[ $((end_ms - begin_ms)) -le "$LEAVE_MS" ] || fail "took $((end_ms - begin_ms)) ms to leave"
is_seen alpha beta left || fail "beta is $(state alpha beta) for alpha, not left"
kill -CONT "${pids[gamma]}"
wait_until is_seen gamma beta left

# The last ones.
stop gamma
stop alpha
finish
