# shellcheck shell=bash
# Client nodes: user-mode Linux, a Linux kernel that runs as processes of this machine, with the machine's userland
# below an overlay in memory (node-init). A node's host processes form one process group of its own.

# client_power_on NODE: starts the kernel; does not wait for it. With RACK_CLIENT_INIT=systemd process 1 is systemd, and
# what NODE's share/before-systemd says (bash) is done on the new root before that.
client_power_on() {
    local node=$1 folder=$STATE/nodes/$1 network number=0
    local -a wires=()
    mkdir -p "$folder/share"
    echo "${RACK_CLIENT_INIT-}" >"$folder/init"
    : >"$folder/interfaces"
    for network in $(networks_of "$node"); do
        local port mac
        port=$(port_of "$node" "$network")
        mac=$(mac_of "$node" "$network")
        port_exists "$node" "$network" || tap_up "$node" "$network"
        wires+=("vec$number:transport=tap,ifname=$port,gro=1,depth=128,mac=$mac")
        echo "vec$number $network $(address_of "$node" "$network")/24 $mac" >>"$folder/interfaces"
        number=$((number + 1))
    done
    ssh_close "$node"
    # A process group of its own (setsid), so that the whole node can be killed at once.
    LD_PRELOAD=$STATE/bin-lab/xsave-ptrace.so TMPDIR=$(memory_folder) setsid ip netns exec "$FABRIC" \
        linux.uml mem="${RACK_CLIENT_MEMORY:-768M}" umid="$node" uml_dir="$RUN/uml" \
        root=/dev/root rootfstype=hostfs hostfs=/ ro init="$STATE/bin-lab/node-init" rack_node="$folder" \
        ${RACK_CLIENT_INIT:+rack_init="$RACK_CLIENT_INIT"} quiet \
        con0=null,fd:1 con=null ssl=null "${wires[@]}" </dev/null >>"$STATE/logs/$node.log" 2>&1 &
    remember "$node" $!
    disown $!
}

# memory_folder: where the kernel keeps the (deleted) file that is its memory: /dev/shm when it is large enough.
memory_folder() {
    local free
    free=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1) || free=0
    if ((free > 2 * 1024 * 1024)); then echo /dev/shm; else echo "$STATE"; fi
}

client_answers() {
    is_running "$1" || return 0
    ssh_open "$1" && node_run "$1" test -e /run/rack/ready
}

# client_wait_ready NODE: until the node takes commands.
client_wait_ready() {
    local node=$1
    if ! wait_for 180 "$node to boot" client_answers "$node" || ! is_running "$node"; then
        say "the end of its console, $STATE/logs/$node.log:"
        tail -n 15 "$STATE/logs/$node.log" >&2
        die "$node does not boot"
    fi
}

# client_power_off NODE: what a power cut does.
client_power_off() {
    local pid
    ssh_close "$1"
    if pid=$(process_of "$1"); then
        # The kernel of the node is the leader of its group; the group holds the node's processes.
        kill -KILL -- "-$pid" 2>/dev/null || true
        wait_for 20 "$1 to end" is_pid_gone "$pid"
    fi
    forget "$1"
}
