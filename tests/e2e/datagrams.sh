#!/usr/bin/env bash
# datagrams.sh ZACTORD ZACTORCTL: what a stranger sends to the UDP port of a running node changes
# nothing but counters, and is never answered; and where UDP does not get through, links carry the
# datagrams and nobody is suspected.
# shellcheck disable=SC2317 # functions are called through wait_until
set -uo pipefail
zactord=$1
zactorctl=$2
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

# proxy NAME: another process in the place of that node; its address is in ${proxies[NAME]}.
declare -A proxies inputs
proxy()
{
    mkfifo "$work/$1.in"
    "$here/datagram_proxy.py" <"$work/$1.in" >"$work/$1.out" 2>"$work/$1.log" &
    pids[proxy-$1]=$!
    local input
    exec {input}>"$work/$1.in"
    inputs[$1]=$input
    wait_until test -s "$work/$1.out"
    proxies[$1]=$(head -n 1 "$work/$1.out")
}

# tell NAME COMMAND...: what the proxy answered is in $said.
tell()
{
    local lines
    lines=$(wc -l <"$work/$1.out")
    echo "${@:2}" >&"${inputs[$1]}"
    wait_until more_lines "$work/$1.out" "$lines"
    said=$(tail -n 1 "$work/$1.out")
}
more_lines() { [ "$(wc -l <"$1")" -gt "$2" ]; }

# port NODE: where it really listens.
port()
{
    ss -Hltnp | awk -v pid="pid=${pids[$1]}," 'index($0, pid) { print $4 }'
}

# launch_behind NODE ARGUMENT...: a member of orders that others reach through its proxy.
launch_behind()
{
    proxy "$1"
    start "$1" --node-advertise "${proxies[$1]}" "${@:2}"
    tell "$1" target "$(port "$1")"
}

# What must not change: who is a member, in which life. (A busy machine may make a suspect.)
view()
{
    ctl "$1" members -o json | python3 -c '
import json, sys
for member in sorted(json.load(sys.stdin)["members"], key=lambda m: m["uid"]):
    print(member["node"], member["uid"])'
    for name in downs rebirths frames_bad datagrams_bad; do
        echo "$name $(counter "$1" "$name")"
    done
}

opened_more() { [ "$(counter "$1" datagrams_opened)" -gt "$2" ]; }
counted() { [ "$(counter "$1" "$2")" -ge "$3" ]; }

# refused COUNTER LEAST COMMAND...: beta counts at least so many more of these, and nothing else happens.
refused()
{
    local name=$1 least=$2 before opened
    shift 2
    before=$(counter beta "$name")
    tell beta "$@"
    [[ $said == *"answers 0" ]] || fail "$*: answered: $said"
    wait_until counted beta "$name" $((before + least))
    opened=$(counter beta datagrams_opened)
    wait_until opened_more beta "$opened" # and the members talk on
}

command -v ss >/dev/null || { echo "skipped: no ss here"; exit 77; }
for name in alpha beta gamma; do
    issue "$name"
done
start alpha
seed=$(address alpha)
launch_behind beta --cluster-seeds "$seed"
start gamma --cluster-seeds "$seed"
for name in alpha beta gamma; do
    wait_until has_up "$name" 3
done
wait_until counted beta datagrams_opened 20
wait_until counted alpha datagrams_opened 20
# Another cluster with a port of its own.
"$zactord" --node-name other --node-listen 127.0.0.1:0 --node-socket "$work/other.sock" \
    --cluster-name shipments --tls-insecure --limits-pool-mb 32 2>"$work/other.log" &
pids[other]=$!
wait_until answers other

# An operator has another key made; all come to send with it, and no datagram is lost meanwhile.
for name in alpha beta gamma other; do
    wait_until counted "$name" datagram_epoch 1
done
ctl gamma rotate --yes >/dev/null || fail "rotate: $?"
ctl other rotate --yes >/dev/null || fail "rotate: $?"
wait_until counted other datagram_epoch 2
for name in alpha beta gamma; do
    wait_until counted "$name" datagram_epoch 2
    opened=$(counter "$name" datagrams_opened)
    wait_until opened_more "$name" $((opened + 5))
    [ "$(counter "$name" datagrams_epoch)" -eq 0 ] || fail "$name lacked a key"
    [ "$(counter "$name" datagrams_forged)" -eq 0 ] || fail "$name had another key"
done
before=$(view beta)

refused datagrams_replayed 10 again 10
refused datagrams_epoch 5 old 5
refused datagrams_foreign 50 garbage 200
refused datagrams_malformed 5 cut 20
# One that has not arrived yet, changed on its way; then the datagram itself, late but sound.
tell beta hold
refused datagrams_forged 3 changed 3
opened=$(counter beta datagrams_opened)
tell beta late 1
wait_until opened_more beta "$opened"
# For beta, sent on to gamma, which knows the sender as well.
forged=$(counter gamma datagrams_forged)
tell beta again 3 "$(port gamma)"
wait_until counted gamma datagrams_forged $((forged + 3))
# To another cluster, with a key of the same number.
tell beta again 3 "$(port other)"
wait_until counted other datagrams_forged 3
# A flood: it is said once in a while.
tell beta hold
refused datagrams_forged 100 changed 1000 # the kernel has room for some
tell beta changed 2000
logged beta "bad datagrams since the last such line" || fail "beta does not say that it is attacked"

after=$(view beta)
[ "$before" = "$after" ] ||
    fail "changed by strangers: $(diff <(echo "$before") <(echo "$after"))"
for name in alpha gamma; do
    wait_until is_seen "$name" beta up
done

stop gamma
stop beta
stop alpha

# Two nodes that no datagram reaches: the link carries them.
for name in east west; do
    issue "$name"
    proxy "$name"
    tell "$name" udp drop
done
start east --node-advertise "${proxies[east]}"
tell east target "$(port east)"
start west --node-advertise "${proxies[west]}" --cluster-seeds "${proxies[east]}"
tell west target "$(port west)"
for name in east west; do
    wait_until has_up "$name" 2
done
degraded() { [ "$(counter "$1" udp_degraded)" -eq "$2" ]; }
# shellcheck disable=SC2317 # called by wait_until
says() # says NODE OTHER TEXT: what NODE's list of members says of OTHER's datagrams
{
    ctl "$1" members -o json | python3 -c 'import json, sys
print([m["udp"] for m in json.load(sys.stdin)["members"] if m["node"] == sys.argv[1]])' "$2" |
        grep -qxF "['$3']"
}
for name in east west; do
    wait_until degraded "$name" 1
    other=$([ "$name" = east ] && echo west || echo east)
    wait_until says "$name" "$other" degraded
    logged "$name" "by UDP: the link carries them" || fail "$name does not say that UDP is blocked"
    logged "$name" "is unreachable" && fail "$name gives a node behind a firewall up"
    [ "$(counter "$name" datagrams_over_links)" -ge 10 ] || fail "$name sends nothing over its link"
    [ "$(counter "$name" datagrams_opened)" -eq 0 ] || fail "the proxies let datagrams through"
done
for name in east west; do
    tell "$name" udp pass
done
for name in east west; do
    wait_until degraded "$name" 0
    other=$([ "$name" = east ] && echo west || echo east)
    wait_until says "$name" "$other" ""
    logged "$name" "arrive by UDP again" || fail "$name does not say that UDP works"
done

# transport = tls: no UDP at all.
issue south
start south --cluster-transport tls --cluster-seeds "${proxies[east]}"
wait_until has_up south 3
ss -Hlunp | grep -q "pid=${pids[south]}," && fail "south listens on UDP"
wait_until counted south datagrams_over_links 5
[ "$(counter south datagrams_out)" -eq 0 ] || fail "south sends by UDP"
finish
