# Debian packages of this repository, and their installation. Sourced by the other scripts.
# shellcheck shell=bash

# To build the library, the tools and the tests.
# shellcheck disable=SC2034 # used by the scripts that source this
ZA_PACKAGES_BUILD=(gcc libc6-dev cmake ninja-build pkg-config git libuv1-dev nanopb libnanopb-dev
    protobuf-compiler python3-protobuf libmbedtls-dev libinih-dev libjansson-dev libc-ares-dev libxxhash-dev
    libcriterion-dev)

# For tests that are skipped without them.
# shellcheck disable=SC2034
ZA_PACKAGES_TEST=(valgrind libczmq-dev iproute2 nftables util-linux)

# For the checks that CI adds: second compiler, sanitizers, fuzzers, formatting, scripts, unit files.
# shellcheck disable=SC2034
ZA_PACKAGES_CI=(clang libclang-rt-14-dev clang-format shellcheck binutils systemd docker-compose
    python3-yaml)

# za_packages_missing NAME...: prints those that are not installed.
za_packages_missing()
{
    local name
    for name in "$@"; do
        if [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" != installed ]; then
            printf '%s\n' "$name"
        fi
    done
}

# za_packages_install NAME...: installs what is missing, as root or through sudo.
za_packages_install()
{
    local missing=() as_root=()
    if ! command -v dpkg-query >/dev/null; then
        echo "This is no Debian system: install the equivalents of: $*" >&2
        return 0 # the build says what is really missing
    fi
    mapfile -t missing < <(za_packages_missing "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
            printf 'Packages are missing. As root, run:\n  apt-get install --no-install-recommends %s\n' \
                "${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    echo "Installing: ${missing[*]}" >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 || return 1
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 || return 1
}
