#!/usr/bin/env bash
# checks.sh TOOLS: the repository's checks find what they are there for.
set -uo pipefail
tools=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# expect good|bad COMMAND...
expect()
{
    local want=$1 got=good
    shift
    "$@" >"$work/log" 2>&1 || got=bad
    if [ "$got" != "$want" ]; then
        echo "FAILED: $want expected: $name" >&2
        cat "$work/log" >&2
        failures=$((failures + 1))
    fi
}

# layers good|bad FILE LINE: a tree in which FILE has this line.
layers()
{
    local tree=$work/tree name="$2: $3"
    rm -rf "$tree"
    mkdir -p "$tree/tools" "$tree/$(dirname "$2")" "$tree/src/base"
    cp "$tools/check-layers" "$tree/tools"
    echo '#include <stddef.h>' >"$tree/src/base/list.h"
    echo "$3" >"$tree/$2"
    expect "$1" "$tree/tools/check-layers"
}

layers good src/core/cell.h '#include "base/list.h"'
layers good src/sim/world.c '#include "node/node.h"'
layers bad src/base/list.c '#include "core/cell.h"'
layers bad src/core/cell.c '#include "wire/frame.h"'
layers bad src/cluster/probe.c '#include "net/session.h"'
layers bad src/node/node.c '#include "sim/world.h"'
layers bad src/core/cell.c '#include "cell.h"'
layers good src/net/loop_uv.c '#include <uv.h>'
layers bad src/node/node.c '#include <uv.h>'
layers bad src/net/tls.c '#include <mbedtls/ssl.h>'
layers bad tools/zactorctl/main.c '#include <psa/crypto.h>'
layers bad src/core/cell.c '#include <pb_encode.h>'
layers good src/cluster/probe.c '#include "zactor/membership.pb.h"'
layers bad include/zactor/ref.h '#include "base/list.h"'
layers bad src/base/list.h '#include "base/list.h"'

# symbols good|bad CODE: a library of this code beside what is always there.
symbols()
{
    local name=$2
    printf 'const char *za_err_name(int e);\nconst char *za_err_name(int e) { return e ? "e" : ""; }\n%s\n' \
        "$2" >"$work/lib.c"
    cc -fPIC -c "$work/lib.c" -o "$work/lib.o" && ar rcs "$work/lib.a" "$work/lib.o" &&
        cc -shared "$work/lib.o" -o "$work/lib.so" || exit 1
    expect "$1" "$tools/check-symbols" "$work/lib.a" "$work/lib.so"
    rm "$work/lib.a"
}

symbols good ''
symbols good 'const char *const za_names[] = { "a", "b" };'
symbols good 'static _Thread_local int now; int *za_now(void) { return &now; }'
symbols bad 'static int calls; int za_count(void) { return ++calls; }'
symbols bad 'int za_level = 3;'
symbols bad 'int za_counter;'
symbols bad 'int zactor_new(void) { return 1; }'

echo "$failures failures"
[ "$failures" -eq 0 ]
