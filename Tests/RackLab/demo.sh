# shellcheck shell=bash
# The walk-through of 2008, from nothing to one file that two clients see, and back to nothing. What is printed reads
# like the session of somebody who typed it; every expectation is checked.

STAGES=()
STAGE_STARTED=0

# stage WORDS: ends the one before and starts the next.
stage() {
    stage_end
    STAGES+=("$1")
    STAGE_STARTED=$(now_ms)
    printf '\n== %s\n' "$1"
}

stage_end() {
    ((STAGE_STARTED)) || return 0
    STAGES[-1]+=$'\t'$(elapsed "$STAGE_STARTED")
    STAGE_STARTED=0
}

stage_table() {
    stage_end
    printf '\n'
    printf '%s\n' "${STAGES[@]}" | awk -F '\t' '{ printf "%8s s  %s\n", $2, $1 }'
    printf '%8s s  in all\n' "$(elapsed "$1")"
}

# type_on NODE COMMAND...: prints the prompt and the command, then what it prints.
type_on() {
    local node=$1
    shift
    printf '%s# %s\n' "$node" "$*"
    NODE_DEADLINE=${TYPE_DEADLINE:-60} node_run "$node" "$@" </dev/null
}

expect() {
    local words=$1 output
    shift
    if output=$("$@" 2>&1); then
        printf '  as expected: %s\n' "$words"
    else
        die "not as expected: $words${output:+ ($output)}; logs: $STATE/logs"
    fi
}

demo_command() {
    (($# == 0)) || usage_error "demo takes no arguments"
    local started
    started=$(now_ms)
    need_root
    need_no_lab

    stage "Set-up and build"
    setup
    down_at_exit
    stage "Boot: storage0 and storage1 run storaged, client0 and client1 are Linux kernels of their own"
    lab_up
    status_command
    walkthrough
    stage "Everything ends"
    lab_down
    expect "no namespace, process or folder of the lab is left" lab_left_nothing
    trap - EXIT INT TERM HUP
    stage_table "$started"
}

# The part between boot and power-off; the first scenario is this too.
walkthrough() {
    stage "What the portals offer (no session of the kernel, no root needed)"
    type_on client0 attach discover "${PORTALS[@]}" || die "attach discover failed"

    stage "The stack comes up on both clients at once; client0, named first, makes the volume group and the file system"
    printf 'client0# attach up\nclient1# attach up\n'
    on_all_clients stack_up || die "attach up failed; logs: $STATE/logs"
    expect "volume group VG0 has 510 extents of 4 MiB" equals extents 510 "$(volume_group_extents client0)"
    expect "VG0/LV0 has 522,240 blocks of 4 KiB" equals blocks 522240 "$(volume_blocks client0)"
    local node
    for node in "${CLIENTS[@]}"; do
        expect "GFS2 client:gfs2 is mounted at /mnt on $node" is_mounted "$node"
        expect "all $((2 * STORAGE_COUNT)) paths of $node are active" all_paths_active "$node"
    done

    stage "A file made on one client is there on the other"
    type_on client0 touch /mnt/made-on-client0 || die "touch failed on client0"
    type_on client1 ls /mnt || die "ls failed on client1"
    expect "client1 sees the file of client0" node_run client1 test -e /mnt/made-on-client0
    for node in "${CLIENTS[@]}"; do
        type_on "$node" attach status ||
            die "attach status on $node is not healthy (exit code $?)"
    done

    stage "The stack goes down on both"
    printf 'client0# attach down\nclient1# attach down\n'
    on_all_clients stack_down || die "attach down failed; logs: $STATE/logs"
    for node in "${CLIENTS[@]}"; do
        expect "nothing of the stack is left on $node" is_clean "$node"
    done
}

lab_left_nothing() {
    local left
    left=$(lab_namespaces)
    [[ -z $left && ! -e $RUN && ! -e $STATE/nodes ]] || {
        echo "left: $left $(ls -d "$RUN" "$STATE/nodes" 2>/dev/null)"
        return 1
    }
}
