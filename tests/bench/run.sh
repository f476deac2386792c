#!/bin/bash
# Runs the benchmarks of a build folder: tests/bench/run.sh BUILD [ROUNDS [SECTION...]]. Needs root and Debian's package lxc.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$top/build/test}
shift
[ "$(id -u)" = 0 ] || { echo "the benchmarks need root" >&2; exit 1; }
command -v lxc-start >/dev/null || echo "no lxc-start here (package lxc): the column of LXC stays empty" >&2
trap 'sh "$top/tests/support/sweep.sh"' EXIT
"$build/tests/bench/lxmgr-bench" "$@"
