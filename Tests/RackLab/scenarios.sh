# shellcheck shell=bash
# Runs the scenarios: each file in scenarios/ defines `title` and `scenario`, and says PASS or FAIL for every check.

SCENARIOS=$REPO/Tests/RackLab/scenarios

# test_command [NAME...]: NAME is a file's name, or its number, or any part that names one file.
test_command() {
    local name file
    local -a files=()
    if (($# == 0)); then
        files=("$SCENARIOS"/[0-9]*.sh)
    fi
    for name in "$@"; do
        local -a found=()
        for file in "$SCENARIOS"/[0-9]*.sh; do
            [[ ${file##*/} == *"$name"* ]] && found+=("$file")
        done
        ((${#found[@]} == 1)) || usage_error "'$name' names ${#found[@]} scenarios; there are: $(basename -a "$SCENARIOS"/*.sh | tr '\n' ' ')"
        files+=("${found[0]}")
    done

    if lab_is_up; then
        say "the scenarios run in the lab that is up"
    else
        PRODUCTS+=(block-stamp rogue)
        # What Debian's fence agents, which some nodes get, are written in.
        PACKAGES+=(python3 python3-pexpect python3-pycurl)
        setup
        down_at_exit
        lab_up
    fi

    # Failures are what this is about: the scenarios themselves set the trap again.
    trap - ERR
    local passed=0 failed=0 started log code
    local -a losers=()
    for file in "${files[@]}"; do
        name=${file##*/}
        name=${name%.sh}
        log=$STATE/logs/test-$name.log
        started=$(now_ms)
        code=0
        # Not as a condition: bash would ignore errors in all of the scenario.
        set +e
        run_scenario "$file" "$name" 2>&1 | tee "$log"
        code=$?
        set -e
        if ((code == 0)); then
            passed=$((passed + 1))
            echo "PASS $name ($(elapsed "$started") s)"
        else
            failed=$((failed + 1))
            losers+=("$name")
            keep_evidence "$name"
            echo "FAIL $name ($(elapsed "$started") s); evidence: $STATE/logs/$name"
        fi
    done
    ((failed == 0)) || echo "failed: ${losers[*]}"
    echo "$passed passed, $failed failed"
    ((failed == 0))
}

run_scenario() {
    (
        set -euo pipefail
        trap - EXIT
        trap_errors
        clean_slate
        # shellcheck source=/dev/null
        source "$1"
        echo "$2: $title"
        scenario
        exit $((FAILURES > 0))
    )
}

# keep_evidence NAME: what a node knows at the moment of failure; the next scenario starts from a clean slate.
keep_evidence() {
    local node folder=$STATE/logs/$1
    mkdir -p "$folder"
    for node in "${CLIENTS[@]}"; do
        is_running "$node" || continue
        NODE_DEADLINE=20 node_script "$node" >"$folder/$node.txt" 2>&1 <<'END' || true
set +e
attach status
tail -n 40 /run/attach/*.log
dmsetup table; dmsetup status
iscsiadm -m session
dlm_tool ls
findmnt -t gfs2
ps -eo pid,stat,wchan:20,args | grep -v ' \['
tail -n 40 /var/log/corosync/corosync.log
dmesg | tail -n 100
END
    done
    cp "$STATE"/logs/storaged-*.log "$folder/" 2>/dev/null || true
}
