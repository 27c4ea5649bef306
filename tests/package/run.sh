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

cmake -S "$source" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
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
nanopb=/usr/include/nanopb
cc -std=c11 -I"$generated" -isystem "$nanopb" "${flags[@]}" "${sources[@]}" "${shared[@]}" \
    -Wl,-rpath,"$library" -o "$work/pkgconfig_shared"
cc -std=c11 -I"$generated" -isystem "$nanopb" "${flags[@]}" "${sources[@]}" \
    "${static[@]/#-lzactor/$library/libzactor.a}" -o "$work/pkgconfig_static"
run "$work/pkgconfig_shared"
run "$work/pkgconfig_static"
echo "four programs built and run"
