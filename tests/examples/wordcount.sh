#!/usr/bin/env bash
# wordcount.sh ZACTORD WORDCOUNT_SO TEXT...: the totals are those of tr, sort and uniq.
set -euo pipefail
# shellcheck source=tests/examples/lib.sh
. "$(dirname "$0")/lib.sh"
zactord=$1
object=$2
shift 2

printf '%s\n' "$@" "$@" >"$work/texts"
while IFS= read -r text; do
    cat -- "$text"
    echo
done <"$work/texts" | LC_ALL=C tr -cs 'A-Za-z' '\n' | LC_ALL=C tr '[:upper:]' '[:lower:]' |
    LC_ALL=C grep . | LC_ALL=C sort | uniq -c | awk '{ print $1, $2 }' >"$work/expected"

export WORDCOUNT_FILES=$work/texts WORDCOUNT_OUTPUT=$work/totals WORDCOUNT_PROGRESS=$work/progress
export WORDCOUNT_COUNTERS=3 WORDCOUNT_BATCH_BYTES=4096
start "$zactord" --load "$object" --root wordcount_driver
wait_for "$work/progress" "done words="
stop
diff "$work/expected" "$work/totals" || die "the totals differ"
