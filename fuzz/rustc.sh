#!/usr/bin/env bash
# The compiler for fuzz/run.sh. It has the fuzz target report to libFuzzer which of its code runs. All other
# crates are compiled as usual, so cargo takes them from the build of the tests. Most code of the decoders is
# generic: from opt-level 2 on it is compiled with the crate that uses it, and so it reports too.
set -euo pipefail

coverage=(
    -Copt-level=2 -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
)
case " $* " in
    # libstdc++ refers to mutexes weakly. A static program would lack them, and crash.
    *' --crate-name frames '*) exec "${@/+crt-static/-crt-static}" "${coverage[@]}" ;;
    *) exec "$@" ;;
esac
