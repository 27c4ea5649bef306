#!/usr/bin/env bash
# zactord.sh ZACTORD EXAMPLE: what it says without starting a node: flags, configuration, objects.
set -uo pipefail
program=$1
example=$2
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

expect 0 --help
prints "--load FILE.so"
prints "--node-name"
prints "default 127.0.0.1:7464"
expect 0 --version
expect 2 --no-such-flag
expect 2 superfluous
expect 2 --node-workers 1000
says "a number from 0 to 64"
expect 2 --check-config
says "zactorctl ca init"
expect 0 --tls-insecure --check-config
expect 0 --tls-insecure true --check-config
expect 0 --tls-insecure=true --check-config
expect 2 --tls-insecure false --check-config
expect 2 --tls-insecure maybe --check-config
expect 2 --tls-insecure --node-listen 10.0.0.1:7464 --check-config
says "loopback"
expect 2 --tls-insecure --cluster-downing-strategy lease --check-config
says "provider of leases"
expect 2 --config "$work/none.conf"
says "none.conf"

# File, then environment, then flag.
printf '[node]\nname = file\nworkers = 2\n[cluster]\nname = c\n' >"$work/z.conf"
ZACTOR_NODE_NAME=env ZACTOR_CLUSTER_NAME=env expect 0 --config "$work/z.conf" --node-name=flag --dump-config
prints "node.name = flag  ; --node-name"
prints "cluster.name = env  ; ZACTOR_CLUSTER_NAME"
prints "node.workers = 2  ; $work/z.conf:3"
prints "drain_ms = 10000  ; default"
ZACTOR_CONFIG=$work/z.conf expect 0 --dump-config
prints "node.name = file"
printf '[node]\nnmae = x\n' >"$work/z.conf"
expect 2 --config "$work/z.conf" --dump-config
says "z.conf:2: node.nmae: unknown key (did you mean node.name?)"

expect 0 --config "$example" --dump-config
prints "node.listen = 0.0.0.0:7464"

expect 2 --load "$work/none.so"
says "none.so"
expect 2 --load libuv.so.1
says "exports no zactor_classes"
expect 2 --tls-insecure --root nobody
says "no loaded object has a class nobody"

finish
