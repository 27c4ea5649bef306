# Runs a node as a child of a test. Sourced by the scripts beside it.
# shellcheck shell=bash

work=$(mktemp -d "${TMPDIR:-/tmp}/zactor-example.XXXXXX")
node=
others=() # processes that end with the test

# shellcheck disable=SC2317 # called by the trap
clean_up()
{
    [ -z "$node" ] || kill -KILL "$node" 2>/dev/null || true
    for other in "${others[@]}"; do
        kill -KILL "$other" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

die()
{
    echo "FAILED: $*" >&2
    tail -n 20 "$work/log" >&2
    exit 1
}

# start COMMAND...: as a node of its own on $port, a free one of loopback; its log is $work/log.
start()
{
    port=$(python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
    "$@" --node-name alpha --node-listen "127.0.0.1:$port" --tls-insecure true 2>"$work/log" &
    node=$!
}

# wait_for FILE TEXT: until FILE has a line with TEXT; 20 s at most.
wait_for()
{
    local i
    for ((i = 0; i < 1000; i++)); do
        if [ -e "$1" ] && grep -qF -- "$2" "$1"; then
            return 0
        fi
        kill -0 "$node" 2>/dev/null || die "the node has ended"
        sleep 0.02
    done
    die "no '$2' within 20 s"
}

# stop: SIGTERM must end the node with status 0.
stop()
{
    local status=0
    kill -TERM "$node"
    wait "$node" || status=$?
    node=
    [ "$status" -eq 0 ] || die "the node ended with status $status"
}
