#!/bin/bash
# Builds and runs the tests: everything a bare Debian 12, 13 or Ubuntu 24.04 needs for it is installed first.
#
#   tests/run.sh [OPTION...] [TIER...]
#     TIER         unit kernel conformance api system fault fuzz (default: all of them); or a test's name ("tst_exec")
#     --asan       with AddressSanitizer and UndefinedBehaviorSanitizer (a build folder of its own)
#     --bench      the benchmarks instead, side by side with LXC's own tools
#     --realhost   build here, run the system tier in a pristine Debian 13 with systemd and cgroup v2 (tests/realhost.sh)
#     --no-install take the machine as it is
#     --list       name the tests and run none
#   BUILD_DIR      where to build (default: build/test, build/asan below the tree)
#   LXMGR_TEST_CACHE     where bootstrapped images are kept (default /var/cache/lxmgr-tests), safe to delete
#   LXMGR_TEST_REQUIRE   "root,…": what must be there; without it a test skips, naming what is missing
#
# The last line is "N passed, N failed, N skipped" in test functions; the status is 0 only where nothing failed.
set -uo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/packaging/packages.sh"

tiers=() asan=0 bench=0 realhost=0 install=1 list=0
for argument in "$@"; do
    case $argument in
        --asan) asan=1 ;;
        --bench) bench=1 ;;
        --realhost) realhost=1 ;;
        --no-install) install=0 ;;
        --list) list=1 ;;
        -h | --help) sed -n '2,16s/^# \{0,1\}//p' "$0"; exit 0 ;;
        -*) echo "unknown option $argument (see $0 --help)" >&2; exit 2 ;;
        *) tiers+=("$argument") ;;
    esac
done

fail() { echo "$*" >&2; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
cores=$(nproc)
started=$SECONDS

if [ $install = 1 ]; then
    # shellcheck disable=SC2086
    install_missing $packages_build $packages_run $packages_test || fail "the packages could not be installed"
    # shellcheck disable=SC2086
    install_optional $packages_run_optional $packages_test_optional
fi

if [ $asan = 1 ]; then
    build=${BUILD_DIR:-$top/build/asan}
    set -- -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLXMGR_SANITIZE=ON
    # A guest's monitor outlives its daemon and is killed with it: leaks are what the daemon, the client and the tests leave.
    export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:detect_stack_use_after_return=1:log_path=$build/results/asan}
    export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
    mkdir -p "$build/results"
else
    # Tests want a quick build, benchmarks the one that is shipped.
    if [ $bench = 1 ]; then folder=bench optimise='-O2 -g1'; else folder=test optimise='-O1 -g1'; fi
    build=${BUILD_DIR:-$top/build/$folder}
    set -- -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=$optimise"
fi

mkdir -p "$build"
cmake -G Ninja -B "$build" -S "$top" -DLXMGR_TESTS=ON "$@" >"$build/configure.log" 2>&1 ||
    { tail -40 "$build/configure.log"; fail "configuring failed"; }
echo "building in $build"
ninja -C "$build" -j "$cores" >"$build/build.log" 2>&1 ||
    { grep -E -A12 'error|FAILED' "$build/build.log" | head -80; fail "the build failed (all of it: $build/build.log)"; }
echo "built in $((SECONDS - started)) s"

if [ $realhost = 1 ]; then exec "$top/tests/realhost.sh" "$build" "${tiers[@]}"; fi
if [ $bench = 1 ]; then
    # shellcheck disable=SC2086
    [ $install = 0 ] || install_missing lxc btrfs-progs || fail "the packages could not be installed"
    exec "$top/tests/bench/run.sh" "$build"
fi

# A sandbox of a test that was killed must not outlive the run.
sweep() { [ "$(id -u)" != 0 ] || sh "$top/tests/support/sweep.sh"; }
trap 'sweep' EXIT
sweep

results=$build/results
rm -rf "$results"
mkdir -p "$results"
select=()
for tier in "${tiers[@]}"; do
    case $tier in
        tst_*) select+=("/$tier\$") ;;
        *) select+=("^$tier/") ;;
    esac
done
pattern=$(IFS='|'; echo "${select[*]}")
arguments=(--test-dir "$build" --no-tests=error)
[ -z "$pattern" ] || arguments+=(-R "$pattern")
if [ $list = 1 ]; then ctest "${arguments[@]}" -N; exit; fi

ctest "${arguments[@]}" -j "$cores" --output-junit "$results/junit.xml" --output-on-failure
status=$?

# Test functions by each program's own totals; a program without them (it crashed, or is none of Qt Test's) counts as one.
# Where a program ended badly although none of its functions failed, that is a failure of its own.
awk -v results="$results" '
    function attribute(line, name,   at) {
        at = index(line, " " name "=\"")
        if (!at) return ""
        line = substr(line, at + length(name) + 3)
        return substr(line, 1, index(line, "\"") - 1)
    }
    function count(   file, line, n, p, f, s, has) {
        file = test; gsub("/", ".", file); file = results "/" file ".txt"
        p = f = s = has = 0
        while ((getline line < file) > 0)
            if (line ~ /^Totals: /) { split(line, n, /[ ,]+/); p = n[2]; f = n[4]; s = n[6]; has = 1 }
        close(file)
        if (state == "fail" && (!has || f == 0)) f += 1
        else if (!has && (state == "notrun" || state == "disabled" || skipped)) s += 1
        else if (!has) p += 1
        passed += p; failed += f; omitted += s
        if (f) bad = bad "\n  " test
    }
    /<testcase / { test = attribute($0, "name"); state = attribute($0, "status"); skipped = 0 }
    /<skipped/ { skipped = 1 }
    /<\/testcase>/ { count() }
    END {
        if (bad) print "failed in:" bad
        printf "%d passed, %d failed, %d skipped\n", passed, failed, omitted
        exit failed > 0
    }' "$results/junit.xml" >"$results/summary"
counted=$?

grep -h '^SKIP' "$results"/*.txt 2>/dev/null | sed 's/ *:/:/' | sort | uniq -c | sort -rn | head -20
if ls "$results"/asan.* >/dev/null 2>&1; then
    echo "sanitizer reports: $(ls "$results"/asan.* | tr '\n' ' ')"
    head -60 "$results"/asan.*
    status=1
fi
echo "whole run: $((SECONDS - started)) s"
[ -s "$results/summary" ] || { echo "0 passed, 1 failed, 0 skipped" >"$results/summary"; status=1; }
if [ $status != 0 ] && [ $counted = 0 ]; then # something failed that no function counts: say so in the numbers too
    sed -i 's/passed, 0 failed/passed, 1 failed/' "$results/summary"
fi
sweep
cat "$results/summary"
exit $((status || counted))
