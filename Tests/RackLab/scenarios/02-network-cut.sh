# shellcheck shell=bash
title="a network cut under a verifying load on GFS2, and healed"

scenario() {
    require "the stack is up on both clients" on_all_clients stack_up
    require "four paths are active on client0" all_paths_active client0
    load_start client0

    fault_cut san0
    echo "  san0 is cut"
    check "the kernel has failed the two paths over san0" wait_for 60 "two failed paths" paths_failed 2
    check "attach status shows them as down" status_says client0 1 DOWN
    check "the load goes on over san1" load_goes_on 90

    fault_heal san0
    echo "  san0 is healed"
    check "all paths are active again" wait_for 90 "four active paths" all_paths_active client0
    check "attach status is healthy again" wait_for 60 "a healthy status" status_is_healthy client0
    check "the load goes on" load_goes_on 90
    check "the load saw no I/O error and no mismatch" load_end client0 120
    check "the kernel saw none above the paths" kernel_saw_no_error client0
    check "the stack goes down on both clients" on_all_clients stack_down
    check "nothing is left on client0" is_clean client0
}

paths_failed() { equals "failed paths" "$1" "$(paths_in_state client0 F)"; }

# status_says NODE CODE WORD: the verdict's exit code, and the word somewhere in the tree.
status_says() {
    local output code=0
    output=$(attach_on "$1" 30 status) || code=$?
    echo "$output"
    equals "exit code of attach status" "$2" "$code" && grep -q "$3" <<<"$output"
}

status_is_healthy() { attach_on "$1" 30 status >/dev/null; }
