#!/usr/bin/env bash
# run.sh BUILD WORK: installs BUILD below WORK and builds a user's project against it, by find_package
# and by pkg-config, with the shared and with the static library.
set -euo pipefail
build=$1
work=$2
source=$(cd "$(dirname "$0")/consumer" && pwd)
prefix=$work/prefix
rm -rf "$work"
mkdir -p "$work"

# The same words from each of the four programs.
run()
{
    local output
    output=$("$@")
    case $output in
    "writer note.Written ZA_EFULL"*"zactor "[0-9]*) ;;
    *)
        echo "$1 said: $output" >&2
        exit 1
        ;;
    esac
}

cmake --install "$build" --prefix "$prefix" >/dev/null
for header in "$prefix"/include/zactor/*.h; do
    grep -q 'include "' "$header" && { echo "$header includes what is not installed" >&2; exit 1; }
done

cmake -G Ninja -S "$source" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$work/cmake" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
run "$work/cmake/consumer_shared"
run "$work/cmake/consumer_static"
if ldd "$work/cmake/consumer_static" | grep libzactor; then
    echo "the static program needs the shared library" >&2
    exit 1
fi

libdir=$(dirname "$(find "$prefix" -name zactor.pc | head -n 1)")
export PKG_CONFIG_PATH=$libdir
library=$(pkg-config --variable=libdir zactor)
generated=$(dirname "$(find "$work/cmake" -name note.za.c -path '*consumer_shared*' | head -n 1)")
read -ra flags < <(pkg-config --cflags zactor)
read -ra shared < <(pkg-config --libs zactor)
read -ra static < <(pkg-config --static --libs zactor)
sources=("$source/consumer.c" "$generated/note.za.c")
cc -std=c11 -I"$generated" "${flags[@]}" "${sources[@]}" "${shared[@]}" \
    -Wl,-rpath,"$library" -o "$work/pkgconfig_shared"
cc -std=c11 -I"$generated" "${flags[@]}" "${sources[@]}" \
    "${static[@]/#-lzactor/$library/libzactor.a}" -o "$work/pkgconfig_static"
run "$work/pkgconfig_shared"
run "$work/pkgconfig_static"

# The README's program is what a newcomer copies: it must build as it stands there.
block()
{
    awk -v "begin=\`\`\`$1" '$0 == begin { inside = 1; next } /^```/ { inside = 0 } inside' "$readme"
}
readme=$source/../../../README.md
hello=$work/hello
mkdir "$hello"
block c >"$hello/hello.c"
diff "$hello/hello.c" "$source/../../../examples/hello/hello.c"
block proto >"$hello/hello.proto"
block options >"$hello/hello.options"
block cmake >"$hello/CMakeLists.txt"
cmake -G Ninja -S "$hello" -B "$hello/build" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$hello/build" >"$work/hello.log" 2>&1 || { cat "$work/hello.log"; exit 1; }
"$hello/build/hello" --tls-insecure --node-name alpha --check-config
echo "five programs built and run"
