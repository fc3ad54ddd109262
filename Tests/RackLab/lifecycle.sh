# shellcheck shell=bash
# The lab as a whole: up, down, and single nodes.

need_no_lab() {
    ! lab_is_up || die "lab '$RACK_LAB' is up, or something of it is left over; end it with: Tests/rack down"
}

# `Tests/rack up`: all of it or nothing.
up_command() {
    need_root
    need_no_lab
    setup
    down_at_exit
    lab_up
    trap - EXIT INT TERM HUP
    status_command
}

# lab_up: everything boots at the same time; ends when all of it answers.
lab_up() {
    [[ -f $INVENTORY ]] || die "the inventory $INVENTORY is missing"
    prepare_state
    networks_up
    local node
    for node in "${CLIENTS[@]}"; do
        client_power_on "$node"
    done
    for node in "${STORAGE_HOSTS[@]}"; do
        storage_host_up "$node"
    done
    for node in "${CLIENTS[@]}"; do
        client_wait_ready "$node"
    done
}

# lab_down: ends what this lab started, whatever state it is in. All of it lives in the lab's network namespaces, so
# what runs in those is the lab's, with or without a note of it.
lab_down() {
    local space node
    for node in "${CLIENTS[@]}"; do
        rm -f "$RUN/ssh/$node"
    done
    for space in $(lab_namespaces); do
        wait_for 20 "the processes in $space to end" kill_all_in "$space" || true
    done
    for space in $(lab_namespaces); do
        ip netns delete "$space"
    done
    rm -rf "$RUN"
    rmdir --ignore-fail-on-non-empty /run/rack-lab 2>/dev/null || true
    # The logs stay for whoever wants to know what went wrong; the next `up` empties them.
    remove_state
}

lab_namespaces() {
    ip netns list | awk -v prefix="$LAB_SPACE-" 'index($1, prefix) == 1 { print $1 }'
}

# Succeeds when nothing runs in the namespace any more.
kill_all_in() {
    local -a pids
    mapfile -t pids < <(ip netns pids "$1" 2>/dev/null)
    ((${#pids[@]})) || return 0
    kill -KILL "${pids[@]}" 2>/dev/null || true
    return 1
}

# node_start NODE: power on after a kill.
node_start() {
    need_node "$1"
    is_running "$1" && die "$1 runs already"
    if is_client "$1"; then
        client_power_on "$1"
        client_wait_ready "$1"
    else
        storage_host_up "$1"
    fi
}

node_kill() {
    need_node "$1"
    if is_client "$1"; then
        client_power_off "$1"
    else
        local pid
        if pid=$(process_of "$1"); then
            kill -KILL "$pid"
            wait_for 20 "$1 to end" is_pid_gone "$pid"
        fi
        forget "$1"
        forget "storaged@$1"
    fi
}

# deploy_programs: newly built programs for the running nodes. A client keeps its own copy from then on.
deploy_programs() {
    local node
    for node in "${CLIENTS[@]}"; do
        is_running "$node" || continue
        node_run "$node" sh -c 'cd /usr/local/bin && cat >.attach && chmod 755 .attach && mv -f .attach attach' \
            <"$BIN_DIR/attach"
    done
    cp "$BIN_DIR/storaged" "$STATE/bin/.storaged"
    mv -f "$STATE/bin/.storaged" "$STATE/bin/storaged"
    cp "$BIN_DIR/attach" "$STATE/bin/.attach"
    mv -f "$STATE/bin/.attach" "$STATE/bin/attach"
    say "attach is in place on the clients; storaged takes its place at the next: fault kill, fault start storaged@HOST"
}

# On any way out of a command that must leave nothing behind.
down_at_exit() {
    # shellcheck disable=SC2154 # assigned in the trap
    trap 'code=$?; trap "" INT TERM HUP; lab_down; say "nothing is left running; logs: $STATE/logs"; exit "$code"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}
