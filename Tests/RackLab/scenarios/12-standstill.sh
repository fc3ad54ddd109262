# shellcheck shell=bash
title="late writes: storaged stopped for 30 s under stamped writes on two paths, also in the middle of Data-Out"

scenario() {
    new_volumes
    require "the map of mpath0 is up on client0, over two paths" attach_on client0 120 up --volume mpath0
    # Single blocks go out as immediate data; 1 MiB takes R2Ts, and is stopped in the middle of its Data-Out.
    stand_still "writes of one block" 1
    stand_still "writes of 1 MiB" 256
    check "storaged counted and logged what it dropped" counted_stale_work
    check "a stop that is shorter than initiators wait costs no path" short_pause
    require "down" stack_down client0
    check "nothing is left on client0" is_clean client0
    new_volumes
}

stamped_journal() { echo "$STATE/logs/stamps-$1"; }

# stand_still WORDS SPAN
stand_still() {
    local journal
    journal=$(stamped_journal "$2")
    rm -f "$journal.end"
    stamp "$journal" "$2" &
    require "$1: the writer works" wait_for 20 "the first writes" acknowledged_since "$journal" 0
    local round before
    for round in 1 2; do
        before=$(acknowledged "$journal")
        fault_process stop storaged@storage0
        sleep 30
        fault_process continue storaged@storage0
        check "$1, stop $round: I/O goes on" wait_for 60 "new writes" acknowledged_since "$journal" "$before"
        sleep 4
    done
    check "$1: no I/O error" ended_well "$journal"
    check "$1: every block holds an acknowledged or a later write, read through the map" \
        node_script client0 "$2" <<'EOF'
/run/rack/lab/bin/block-stamp verify /dev/mapper/mpath0 "/run/rack/lab/logs/stamps-$1"
EOF
    check "$1: and in the raw file" "$BIN_DIR/block-stamp" verify "$STATE/nodes/storage0/volumes/mpath0.img" "$journal"
}

# stamp JOURNAL SPAN: the exit code goes into a file, because the checks run in subshells, which cannot wait for it.
stamp() {
    local code=0
    node_run client0 /run/rack/lab/bin/block-stamp write /dev/mapper/mpath0 --seconds 90 --workers 8 --blocks 1024 \
        --span "$2" >"$1" 2>"$1.errors" </dev/null || code=$?
    echo "$code" >"$1.end"
}

ended_well() {
    wait_for 120 "the writer to end" test -s "$1.end"
    cat "$1.errors"
    equals "exit code of the writer" 0 "$(cat "$1.end")"
}

acknowledged() { grep -c '^a' "$1" || true; }
acknowledged_since() { (($(acknowledged "$1") > $2)); }

counted_stale_work() {
    local output
    output=$(node_run storage0 storaged status --json) || true
    echo "$output"
    jq -e '.staleConnectionsDropped >= 4 and .staleCommandsDropped >= 1' <<<"$output" &&
        grep -q "stood still for" "$STATE/logs/storaged-storage0.log"
}

short_pause() {
    local before after
    before=$(node_run client0 sh -c 'ls /sys/class/iscsi_session; cat /sys/class/iscsi_connection/*/persistent_address')
    fault_process stop storaged@storage0
    sleep 2
    fault_process continue storaged@storage0
    node_run client0 dd if=/dev/mapper/mpath0 of=/dev/null bs=4096 count=1 iflag=direct status=none
    after=$(node_run client0 sh -c 'ls /sys/class/iscsi_session; cat /sys/class/iscsi_connection/*/persistent_address')
    equals sessions "$before" "$after" && node_run client0 dmsetup status mpath0 | grep -vq ' F '
}
