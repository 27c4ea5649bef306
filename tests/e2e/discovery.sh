#!/usr/bin/env bash
# discovery.sh ZACTORD ZACTORCTL: nodes that find each other by the records of a name, by those of a
# service, and by a file; each of which has what they need only after they started.
set -uo pipefail
zactord=$1
zactorctl=$2
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

for node in alpha beta gamma delta epsilon; do
    issue "$node"
done
# Addresses that differ and one port, as pods have them; which port is the system's choice.
net=127.$((RANDOM % 250 + 1)).$((RANDOM % 250 + 1))
port=$(python3 -c '
import socket, sys
sock = socket.socket()
sock.bind((sys.argv[1], 0))
print(sock.getsockname()[1])' "$net.1")

: >"$work/records"
coproc server { "$(dirname "$0")/name_server.py" "$work/records"; }
# shellcheck disable=SC2154 # of the coproc
pids[server]=$server_PID
read -r dns <&"${server[0]}"

# discover NODE NUMBER SEED: starts it at an address of its own.
discover()
{
    start "$1" --node-listen "$net.$2:$port" --cluster-dns "$dns" --cluster-timing local \
        --cluster-seeds "$3"
}

is_joining() { [ "$(state "$1" "$1")" = joining ]; }
all_up() { # all_up COUNT NODE...
    local node
    for node in "${@:2}"; do
        has_up "$node" "$1" || return 1
    done
}

# Nobody founds a cluster of its own before a name tells who there is.
discover alpha 1 "dns://nodes.test:$port"
discover beta 2 "dns://nodes.test:$port"
discover gamma 3 "dns://nodes.test:$port"
for node in alpha beta gamma; do
    wait_until logged "$node" "seed dns://nodes.test:$port: nodes.test: "
    is_joining "$node" || fail "$node is $(state "$node" "$node") with nobody to join"
done
for i in 1 2 3; do
    echo "nodes.test A $net.$i" >>"$work/records.new"
done
mv "$work/records.new" "$work/records"
wait_until all_up 3 alpha beta gamma
# Whoever asks again first finds the others, who need not ask any more.
grep -q "seed dns://nodes.test:$port: 3 addresses" "$work"/{alpha,beta,gamma}.log ||
    fail "nobody says what it found"

# A service: ports are the records'.
{
    cat "$work/records"
    echo "_zactor._tcp.test SRV $port one.test"
    echo "_zactor._tcp.test SRV $port gone.test"
    echo "one.test A $net.1"
} >"$work/records.new"
mv "$work/records.new" "$work/records"
discover delta 4 srv://_zactor._tcp.test
wait_until all_up 4 alpha beta gamma delta

# A file that is not there yet, that has a line which is no address, and that is at last right.
discover epsilon 5 "file://$work/seeds"
wait_until logged epsilon "$work/seeds: No such file"
is_joining epsilon || fail "epsilon is $(state epsilon epsilon) without a file"
echo "$net.1" >"$work/seeds"
wait_until logged epsilon "line 1: "
[ "$(counter epsilon discovery_lines_bad)" -gt 0 ] || fail "a bad line is not counted"
is_joining epsilon || fail "epsilon is $(state epsilon epsilon) without an address"
echo "$net.1:$port # the first" >"$work/seeds.new"
mv "$work/seeds.new" "$work/seeds"
wait_until all_up 5 alpha beta gamma delta epsilon
[ "$(counter epsilon discovery_addresses)" -eq 1 ] || fail "addresses are not counted"

# The name server ends: nothing is lost by it.
: >"$work/alpha.log"
abandon server
wait_until logged alpha "seed dns://nodes.test:$port: nodes.test: "
all_up 5 alpha beta gamma delta epsilon || fail "a name server is no member"
for node in epsilon delta gamma beta alpha; do
    stop "$node"
done
finish
