# shellcheck shell=bash
# A load that verifies what it reads, run on a node until it is told to end.

# load_start NODE: rounds of fio in /mnt, each writing 4 KiB blocks past the page cache and reading all of them back.
load_start() {
    LOAD_LOG=$STATE/logs/load-$1.log
    load_run "$1" >"$LOAD_LOG" 2>&1 &
    wait_for 60 "the first round of the load" load_has_rounds 1
}

# The last line tells the exit code: the checks run in subshells, which cannot wait for it.
load_run() {
    local code=0
    node_script "$1" <<'END' || code=$?
rm -f /run/rack/load-end
echo "rack: the load begins" >/dev/kmsg
rounds=0
while [[ ! -e /run/rack/load-end ]]; do
    fio --name=load --directory=/mnt --filename="load-$(hostname)" --size=16M --rw=randwrite --bs=4k --direct=1 \
        --ioengine=libaio --iodepth=8 --verify=crc32c --verify_fatal=1 --do_verify=1 --randseed="$RANDOM" --minimal \
        >/run/rack/load.out 2>/run/rack/load.err || {
        echo "fio exit code $? in round $rounds"
        cat /run/rack/load.err
        tail -c 2000 /run/rack/load.out
        exit 1
    }
    rounds=$((rounds + 1))
    echo "round $rounds"
done
END
    echo "ended $code"
}

load_rounds() { grep -c '^round' "$LOAD_LOG" || true; }
load_has_ended() { grep -q '^ended' "$LOAD_LOG"; }
load_has_rounds() { (($(load_rounds) >= $1)) || load_has_ended; }

# load_goes_on SECONDS: two more rounds end without an error, within that time. (The first may have been nearly over.)
load_goes_on() {
    local rounds
    rounds=$(load_rounds)
    if wait_for "$1" "two more rounds of the load after $rounds" load_has_rounds $((rounds + 2)) && ! load_has_ended; then
        return 0
    fi
    tail -n 20 "$LOAD_LOG"
    return 1
}

# load_end NODE SECONDS: no I/O error and no mismatch from start to end.
load_end() {
    node_run "$1" touch /run/rack/load-end
    wait_for "$2" "the load to end" load_has_ended || return 1
    grep -q '^ended 0$' "$LOAD_LOG" || {
        tail -n 20 "$LOAD_LOG"
        return 1
    }
}

# kernel_saw_no_error NODE: since the load began; the node may have been through other scenarios before.
kernel_saw_no_error() {
    ! node_run "$1" dmesg | awk '/rack: the load begins/ { text = "" } { text = text "\n" $0 } END { print text }' | grep -E 'Buffer I/O error|I/O error, dev dm-|gfs2: .*(error|withdraw)'
}
