# Runs a program without a node and looks at what it says. Sourced by the scripts beside it.
# shellcheck shell=bash
# shellcheck disable=SC2317 # used by the scripts that source this
: "${program:?}" # the program to be tested

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset "${!ZACTOR_@}"
failures=0

fail()
{
    echo "FAILED: $*" >&2
    failures=$((failures + 1))
}

# expect STATUS ARGUMENT...: runs the program; stdout and stderr go to $work/out and $work/err.
expect()
{
    local want=$1 status=0
    shift
    "$program" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
    [ "$status" -eq "$want" ] ||
        fail "${program##*/} $*: exit $status, expected $want: $(cat "$work/err")"
}

says() { grep -qF -- "$1" "$work/err" || fail "stderr lacks: $1 (has: $(cat "$work/err"))"; }
prints() { grep -qF -- "$1" "$work/out" || fail "stdout lacks: $1 (has: $(cat "$work/out"))"; }
prints_nothing() { [ ! -s "$work/out" ] || fail "stdout is not empty: $(cat "$work/out")"; }

finish()
{
    echo "$failures failures"
    [ "$failures" -eq 0 ]
    exit
}
