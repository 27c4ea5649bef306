#!/usr/bin/env bash
# operate.sh ZACTORD ZACTORCTL: who may operate a node: the user it runs as over its unix socket, and
# certificates with the role for it.
set -uo pipefail
zactord=$1
zactorctl=$2
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

for node in alpha beta gamma; do
    issue "$node"
done
issue viewer --role client
issue ops --role client,admin
start alpha --cluster-timing local
alpha=$(address alpha)
start beta --cluster-timing local --cluster-seeds "$alpha" --node-roles api,db --node-meta "rack 4"
start gamma --cluster-timing local --cluster-seeds "$alpha"
for node in alpha beta gamma; do
    wait_until has_up "$node" 3
done

# What a node says of itself, and how it is reached, as another one sees it.
about()
{
    ctl alpha members -o json | python3 -c '
import json, sys
for member in json.load(sys.stdin)["members"]:
    if member["node"] == "beta":
        print(member["roles"], member["meta"], member["link"], member["incarnation"] > 0)'
}
[ "$(about)" = "api,db rack 4 up True" ] || fail "beta is $(about)"

# The unix socket is its owner's.
[ "$(stat -c '%a %F' "$work/alpha.sock")" = "600 socket" ] || fail "$(stat -c '%a %F' "$work/alpha.sock")"
if [ "$(id -u)" -eq 0 ]; then
    stranger=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    chmod 711 "$work"
    # Where the program is may not be for everyone: a copy is.
    install -m 755 "$(realpath "$zactorctl")" "$work/zactorctl"
    "${stranger[@]}" "$work/zactorctl" version >/dev/null || fail "another user cannot run zactorctl"
    "${stranger[@]}" timeout 30 "$work/zactorctl" --socket "$work/alpha.sock" leave --yes \
        >"$work/out" 2>&1
    status=$?
    [ "$status" -eq 3 ] || [ "$status" -eq 5 ] || fail "another user may leave: $status"
    grep -qi "permission denied" "$work/out" || fail "it does not say why: $(cat "$work/out")"
    # Not even where the file's mode was opened: the node asks the system who it is.
    chmod 666 "$work/alpha.sock"
    "${stranger[@]}" timeout 30 "$work/zactorctl" --socket "$work/alpha.sock" leave --yes \
        >"$work/out" 2>&1
    status=$?
    [ "$status" -ne 0 ] || fail "another user may leave through an open socket"
    chmod 600 "$work/alpha.sock"
    has_up alpha 3 || fail "another user did something"
else
    echo "not root: not tried as another user"
fi

# A viewer looks, and no more. Over TLS, at each of the verbs that act.
ctl_tls "$alpha" viewer status >/dev/null || fail "a viewer's status: $?"
for verb in "leave" "down gamma"; do
    # shellcheck disable=SC2086 # a verb and its argument
    ctl_tls "$alpha" viewer $verb --yes >"$work/out" 2>"$work/err"
    status=$?
    [ "$status" -eq 5 ] || fail "a viewer's $verb: $status"
    [ -s "$work/err" ] || fail "a viewer's $verb: not told why"
done
# A member's certificate is no operator's either.
ctl_tls "$alpha" beta down gamma --yes 2>/dev/null
status=$?
[ "$status" -eq 5 ] || fail "a member's certificate may say down: $status"
has_up alpha 3 || fail "a denied request did something"

# down: of a member that does not come back, and of one that lives and is reborn.
ctl alpha down nobody --yes 2>/dev/null
[ $? -eq 1 ] || fail "down of an unknown node is a no"
kill -STOP "${pids[gamma]}"
ctl_tls "$alpha" ops down gamma --yes || fail "down: $?"
wait_until is_seen alpha gamma down
wait_until is_seen beta gamma down
kill -CONT "${pids[gamma]}"
wait_until logged gamma "reborn as"
for node in alpha beta gamma; do
    wait_until has_up "$node" 3
done

# leave: the process ends with status 0 and is gone, not lost.
ctl_tls "$(address beta)" ops leave --yes || fail "leave: $?"
wait "${pids[beta]}" || fail "zactord ended with $? after leave"
unset "pids[beta]"
wait_until is_seen alpha beta left
ctl gamma leave --yes >/dev/null || fail "leave: $?"
wait "${pids[gamma]}" || fail "zactord ended with $? after leave"
unset "pids[gamma]"
wait_until is_seen alpha gamma left
stop alpha
[ ! -e "$work/alpha.sock" ] || fail "the socket is left behind"
finish
