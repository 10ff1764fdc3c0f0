#!/bin/sh
# Fuzzes each target for FUZZ_SECONDS (60 unless set), or those that are named: tests/fuzz/run.sh config proxy_header
#
# libFuzzer, on stable Rust: LLVM's pass that counts what code an input reaches is a flag away; only cargo-fuzz's sanitizers would take a
# nightly compiler, and there is no unsafe code here for them to watch. An input that breaks a target is left in tests/fuzz/corpus/TARGET,
# where `cargo test --test fuzz` runs it from then on; what merely reaches new code stays in target/fuzz/corpus.
set -eu
cd "$(dirname "$0")/../.."
all="request_head response_head config proxy_header probe_reply client_hello state_file journal command"
host=$(rustc -vV | sed -n 's/^host: //p')

# With --target flags are for the program alone, not for what its build runs.
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg=fuzzing" \
    cargo build --package hotspare-fuzz --profile fuzz --target "$host" --target-dir target/fuzz

for target in ${*:-$all}; do
    echo "fuzzing $target for ${FUZZ_SECONDS:-60} s"
    mkdir -p "target/fuzz/corpus/$target"
    log="target/fuzz/$target.log"
    # Beyond 4 KiB nothing here is decided, 10 s for one input is a hang, 2 GiB a leak.
    if ! FUZZ_TARGET=$target "target/fuzz/$host/fuzz/hotspare-fuzz" -max_total_time="${FUZZ_SECONDS:-60}" -max_len=4096 \
        -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="tests/fuzz/corpus/$target/" \
        "target/fuzz/corpus/$target" "tests/fuzz/corpus/$target" >"$log" 2>&1; then
        tail -n 60 "$log"
        echo "$target is broken by the newest file in tests/fuzz/corpus/$target; cargo test --test fuzz runs it again"
        exit 1
    fi
    grep -E 'DONE|number_of_executed_units' "$log"
done
