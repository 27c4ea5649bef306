#!/usr/bin/env bash
# idle_traffic.sh ZACTORD ZACTORCTL [NODES [SECONDS]]: what idle members say to each other: bytes of IP
# that each sends a second, authenticated, counted by the kernel of a network namespace of their own.
set -uo pipefail
if [ "${ZACTOR_IDLE_INSIDE:-}" != yes ]; then
    # Root needs no namespace of users, and has none in a chroot.
    own=-rn
    if [ "$(id -u)" -eq 0 ]; then
        own=-n
    fi
    if ! unshare "$own" true 2>/dev/null; then
        echo "skipped: no network namespaces here"
        exit 77
    fi
    ZACTOR_IDLE_INSIDE=yes exec unshare "$own" "$0" "$@"
fi
zactord=$1
zactorctl=$2
nodes=${3:-8}
seconds=${4:-30}
BYTES_PER_S_MAX=400
SETTLE_S=15 # longer than a round of everything that follows a join
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
ip link set lo up || give_up "no loopback interface"
nft 'add table inet idle; add counter inet idle links;
    add chain inet idle out { type filter hook output priority 0; };
    add rule inet idle out meta l4proto tcp counter name links' 2>/dev/null

# Bytes of IP packets that were sent, of all protocols, in this namespace.
ip_bytes()
{
    awk '$1 == "IpExt:" { if (++line == 1) { for (i = 2; i <= NF; i++) { if ($i == "OutOctets") { at = i } } }
        else { print $at } }' /proc/net/netstat
}
udp_packets() { awk '$1 == "Udp:" { if (++line == 2) { print $5 } }' /proc/net/snmp; }
# What is not UDP goes over the links: handshakes, synchronisation, acknowledgements.
tcp_segments() { awk '$1 == "Tcp:" { if (++line == 2) { print $12 } }' /proc/net/snmp; }
tcp_bytes() { nft list counter inet idle links 2>/dev/null | awk '$1 == "packets" { print $4 }'; }

seed=
for ((i = 1; i <= nodes; i++)); do
    issue "n$i"
    # Each at an address of its own, as hosts are.
    launch "n$i" --node-listen "127.0.1.$i:7464" --cluster-name orders --tls-ca "$pki/ca.crt" \
        --tls-cert "$pki/n$i.crt" --tls-key "$pki/n$i.key" ${seed:+--cluster-seeds "$seed"}
    wait_until answers "n$i"
    seed=127.0.1.1:7464
done
for ((i = 1; i <= nodes; i++)); do
    wait_until has_up "n$i" "$nodes"
done
sleep "$SETTLE_S"

from_ms=$(now_ms)
bytes=$(ip_bytes) packets=$(udp_packets) segments=$(tcp_segments) linked=$(tcp_bytes)
sleep "$seconds"
bytes=$(($(ip_bytes) - bytes)) packets=$(($(udp_packets) - packets))
segments=$(($(tcp_segments) - segments)) linked=$(($(tcp_bytes) - linked))
ms=$(($(now_ms) - from_ms))
rate=$((bytes * 1000 / ms / nodes))
printf '{"nodes": %d, "seconds": %d.%03d, "bytes_per_s_per_node": %d, "limit": %d, ' "$nodes" \
    $((ms / 1000)) $((ms % 1000)) "$rate" "$BYTES_PER_S_MAX"
printf '"udp_packets_per_s_per_node": %d.%02d, "tcp_segments": %d, "tcp_bytes_per_s_per_node": %d}\n' \
    $((packets * 1000 / ms / nodes)) $((packets * 100000 / ms / nodes % 100)) "$segments" \
    $((linked * 1000 / ms / nodes))
[ "$packets" -gt "$nodes" ] || fail "nothing goes by UDP"
[ "$rate" -le "$BYTES_PER_S_MAX" ] || fail "$rate bytes a second and node are more than $BYTES_PER_S_MAX"
finish
