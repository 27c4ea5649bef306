#!/usr/bin/env bash
# zactorctl.sh ZACTORCTL: what it says without a node: usage, forms of output, certificates.
set -uo pipefail
program=$1
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

# json EXPRESSION: true of the document on stdout, as `d`.
json()
{
    python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' \
        "$work/out" "$1" || fail "not so: $1 in $(cat "$work/out")"
}

expect 2
prints_nothing
says "Usage:"
expect 0 --help
prints "Exit status"
expect 2 memebrs
prints_nothing
says "no verb memebrs"
expect 2 members --no-such-flag
expect 2 members superfluous
expect 2 -o yaml version
says "table, wide, json, jsonl, name"
expect 2 --timeout 0 version
expect 2 --timeout 5h version
expect 0 --timeout 500ms version

expect 0 version -o json
json 'd["v"] == 1 and "version" in d'
expect 0 -o jsonl version
json 'd["v"] == 1'
ZACTOR_OUTPUT=json expect 0 version
json 'd["v"] == 1'

# No node: 3, and nothing on stdout. A timeout cannot be told from a test without sleeping.
expect 3 --socket "$work/none.sock" members
prints_nothing
says "none.sock"
ZACTOR_SOCKET=$work/env.sock expect 3 status
says "env.sock"
ZACTOR_ADDR=127.0.0.1:1 expect 3 --socket "$work/flag.sock" status
says "flag.sock"
expect 2 --addr 127.0.0.1:1 members
says "--cert"

# Destructive verbs ask; without a terminal they do nothing, and --dry-run only says so.
expect 1 --socket "$work/none.sock" down gamma
says "--yes"
expect 0 --socket "$work/none.sock" down gamma --dry-run -o json
json 'd["done"] is False and d["node"] == "gamma"'
expect 3 --socket "$work/none.sock" down gamma --yes

expect 2 ca
expect 2 ca init --dir "$work/pki"
says "--cluster"
expect 0 ca init --cluster orders --dir "$work/pki"
prints "pki/ca.crt"
expect 2 ca init --cluster orders --dir "$work/pki"
says "--force"
expect 0 -o json ca issue alpha --dir "$work/pki"
json 'd["cluster"] == "orders" and d["roles"] == "member"'
expect 0 -o json ca issue ops --role client,admin --dir "$work/pki" --days 7
json 'd["roles"] == "client admin"'
expect 2 ca issue ops --role king --dir "$work/pki"
expect 2 ca issue 'a/b' --dir "$work/pki"
expect 2 ca issue beta --dir "$work/nowhere"
says "ca init"
[ "$(stat -c %a "$work/pki/alpha.key")" = 600 ] || fail "the key is not private"
[ "$(stat -c %a "$work/pki")" = 700 ] || fail "the folder is not private"

# Over TCP, with certificates, and nobody there.
expect 3 --addr 127.0.0.1:1 --ca "$work/pki/ca.crt" --cert "$work/pki/ops.crt" \
    --key "$work/pki/ops.key" members

finish
