#!/usr/bin/env bash
# insecure.sh ZACTORD ZACTORCTL: without certificates a node does not start, unless it is told to be
# insecure, and then on loopback only.
set -uo pipefail
zactord=$1
zactorctl=$2
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

# refused TEXT ARGUMENT...: zactord ends at once with status 2 and says TEXT.
refused()
{
    local text=$1 status=0
    shift
    timeout 30 "$zactord" --node-name alpha "$@" >"$work/out" 2>"$work/err" || status=$?
    [ "$status" -eq 2 ] || fail "zactord $*: status $status, expected 2: $(cat "$work/err")"
    grep -qF -- "$text" "$work/err" || fail "zactord $*: does not say '$text': $(cat "$work/err")"
}

refused "zactorctl ca init" --node-listen 127.0.0.1:0
refused "zactorctl ca issue NODE" --node-listen 127.0.0.1:0
refused "tls.insecure = true on a loopback address" --node-listen 127.0.0.1:0
refused "tls.ca is not set" --node-listen 0.0.0.0:0 --node-advertise 127.0.0.1:7
for address in 0.0.0.0:0 10.0.0.1:7464 192.168.1.1:0 '[::]:0' '[fe80::1]:0' node.example:7464; do
    refused "loopback" --tls-insecure --node-listen "$address" --node-advertise 127.0.0.1:7464
done

# One of the three files is none of them.
issue alpha
refused "tls.key is not set" --cluster-name orders --node-listen 127.0.0.1:0 \
    --tls-ca "$pki/ca.crt" --tls-cert "$pki/alpha.crt"
refused "contradicts" --tls-insecure --cluster-name orders --node-listen 127.0.0.1:0 \
    --tls-ca "$pki/ca.crt" --tls-cert "$pki/alpha.crt" --tls-key "$pki/alpha.key"
printf 'no certificate\n' >"$work/bad.crt"
refused "bad.crt" --cluster-name orders --node-listen 127.0.0.1:0 \
    --tls-ca "$pki/ca.crt" --tls-cert "$work/bad.crt" --tls-key "$pki/alpha.key"
refused "another cluster" --cluster-name shipments --node-listen 127.0.0.1:0 \
    --tls-ca "$pki/ca.crt" --tls-cert "$pki/alpha.crt" --tls-key "$pki/alpha.key"

# Told so, on loopback, it starts, says that it is insecure, and two of them are a cluster.
launch alpha --cluster-name orders --tls-insecure
wait_until logged alpha "INSECURE: no TLS"
alpha=$(address alpha)
launch beta --cluster-name orders --tls-insecure --cluster-seeds "$alpha"
wait_until has_up alpha 2

# A node with certificates and one without are no cluster, whoever begins.
issue gamma
start gamma --cluster-seeds "$alpha"
wait_until logged gamma "refused: the peer does not speak TLS"
wait_until logged alpha "refused: "
stop gamma
start gamma
launch delta --cluster-name orders --tls-insecure --cluster-seeds "$(address gamma)"
wait_until logged delta "refused: "
has_up gamma 1 || fail "gamma let a node without a certificate in"
has_up alpha 2 || fail "alpha let a node of another kind in"
for node in delta gamma beta alpha; do
    stop "$node"
done
finish
