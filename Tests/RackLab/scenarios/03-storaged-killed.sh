# shellcheck shell=bash
title="kill -9 and restart of a storaged under a verifying load"

scenario() {
    require "the stack is up on both clients" on_all_clients stack_up
    load_start client0
    local host
    # Which half of the volume a file lies on is the file system's choice: each host has its turn.
    for host in storage0 storage1 storage0; do
        fault_process kill "storaged@$host"
        echo "  storaged on $host is killed"
        sleep 2
        fault_process start "storaged@$host"
        check "every path comes back by itself" wait_for 90 "four active paths" all_paths_active client0
        check "the load goes on" load_goes_on 90
    done
    check "the load saw no I/O error and no mismatch" load_end client0 120
    check "the kernel saw none above the paths" kernel_saw_no_error client0
    check "the stack goes down on both clients" on_all_clients stack_down
    check "nothing is left on client0" is_clean client0
}
