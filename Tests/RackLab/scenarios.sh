# shellcheck shell=bash
# Runs the scenarios: each file in scenarios/ defines `title` and `scenario`, and says PASS or FAIL for every check.

SCENARIOS=$REPO/Tests/RackLab/scenarios

# test_command [--labs COUNT] [NAME...]: NAME is a file's name, or its number, or any part that names one file.
test_command() {
    local name file labs=1
    local -a files=()
    if [[ ${1-} == --labs ]]; then
        [[ ${2-} =~ ^[1-9]$ ]] || usage_error "test --labs takes a number from 1 to 9"
        labs=$2
        shift 2
    fi
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
    if ((labs > 1)); then
        test_in_labs "$labs" "${files[@]}"
        return
    fi

    if lab_is_up; then
        say "the scenarios run in the lab that is up"
    else
        test_setup
        down_at_exit
        lab_up
    fi

    # Failures are what this is about: the scenarios themselves set the trap again.
    trap - ERR
    local passed=0 failed=0 started log code
    local -a losers=()
    local place=0
    while :; do
        if [[ -n ${RACK_TEST_QUEUE:-} ]]; then
            file=$(next_in_queue)
        else
            file=${files[place]:-}
            place=$((place + 1))
        fi
        [[ -n $file ]] || break
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

# test_setup: what scenarios need beside the lab's own.
test_setup() {
    PRODUCTS+=(block-stamp rogue)
    # What Debian's fence agents, which some nodes get, are written in.
    PACKAGES+=(python3 python3-pexpect python3-pycurl)
    setup
}

# next_in_queue: takes the next scenario off the list that several labs share; nothing when it is empty.
next_in_queue() {
    (
        flock 9
        head -n 1 "$RACK_TEST_QUEUE"
        sed -i 1d "$RACK_TEST_QUEUE"
    ) 9>"$RACK_TEST_QUEUE.lock"
}

# test_in_labs COUNT FILE...: the scenarios in several labs side by side, each of which takes the next one when it is free.
# Scenarios spend much of their time waiting for timeouts.
test_in_labs() {
    local count=$1 number code=0
    shift
    test_setup
    local folder
    folder=$(mktemp -d /tmp/rack-labs.XXXXXX)
    # The later ones are the longer ones.
    printf '%s\n' "$@" | sort -r >"$folder/queue"
    # A failed scenario is counted, and no surprise.
    trap - ERR
    local -a pids=()
    # shellcheck disable=SC2064 # the folder's name is known now
    trap "kill \$(jobs -p) 2>/dev/null || true; wait || true; rm -rf '$folder'" EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    for ((number = 1; number <= count; number++)); do
        RACK_LAB=$RACK_LAB$number RACK_BIN_DIR=$BIN_DIR RACK_TEST_QUEUE=$folder/queue \
            "$REPO/Tests/rack" test >"$folder/$number" 2>&1 &
        pids+=($!)
    done
    for number in "${pids[@]}"; do wait "$number" || code=1; done
    local lab
    for ((lab = 1; lab <= count; lab++)); do
        echo "== lab $RACK_LAB$lab"
        grep -vE '^([0-9]+ passed, [0-9]+ failed|failed: .*)$' "$folder/$lab" || true
    done
    local passed failed
    passed=$(cat "$folder"/[0-9] | grep -cE '^PASS ') || true
    failed=$(cat "$folder"/[0-9] | grep -cE '^FAIL ') || true
    # A lab that did not get to its end has not run what is still in the list.
    failed=$((failed + $(wc -l <"$folder/queue")))
    echo "$passed passed, $failed failed"
    ((failed == 0 && code == 0))
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
