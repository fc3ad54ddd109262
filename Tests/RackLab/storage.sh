# shellcheck shell=bash
# Storage hosts: a namespace of network, mounts, processes and host name each, on the machine's own kernel, running the
# real storaged. `storage-init` is process 1 in there; with it everything of the host ends.

# in_storage HOST COMMAND...: runs a command on a storage host.
in_storage() {
    local host=$1 init
    shift
    init=$(process_of "$host") || die "$host does not run; start it with: Tests/rack start $host"
    nsenter --target "$init" --net --mount --uts --pid -- env PATH="$STATE/bin:$PATH" "$@"
}

storage_host_up() {
    local host=$1 space=$LAB_SPACE-$1 folder=$STATE/nodes/$1
    mkdir -p "$folder/volumes" "$folder/lib"
    if [[ ! -e /run/netns/$space ]]; then
        ip netns add "$space"
        ip -n "$space" link set lo up
        veth_up "$host" san0
        veth_up "$host" san1
    fi
    rm -f "$folder/ready"
    setsid ip netns exec "$space" unshare --mount --uts --pid --fork --kill-child --mount-proc --propagation private -- \
        "$STATE/bin-lab/storage-init" "$host" "$folder" </dev/null >"$STATE/logs/$host.log" 2>&1 &
    disown $!
    wait_for 20 "$host to start ($STATE/logs/$host.log)" test -e "$folder/ready"
    remember "$host" "$(outer_pid "$host" 1)"
    storaged_up "$host"
}

storage_portals_answer() {
    local network open
    is_running "storaged@$1" || return 0
    for network in san0 san1; do
        open=$(ip netns exec "$LAB_SPACE-$1" ss -Hltn "src $(address_of "$1" "$network"):3260")
        [[ -n $open ]] || return 1
    done
}

storaged_up() {
    local host=$1 log=$STATE/logs/storaged-$1.log pid_file=$STATE/nodes/$1/storaged.pid init
    init=$(process_of "$host") || die "$host does not run; start it with: Tests/rack start $host"
    is_running "storaged@$host" && die "storaged@$host runs already"
    rm -f "$pid_file"
    # Forked off inside, so that the host's process 1 is its parent, as on a host.
    # shellcheck disable=SC2016 # expanded on the host
    nsenter --target "$init" --net --mount --uts --pid -- setsid --fork \
        bash -c 'echo $$ >"$0"; exec "$@"' "$pid_file" \
        "$STATE/bin/storaged" run --rack /etc/rack/rack.yaml --host "$host" </dev/null >>"$log" 2>&1
    wait_for 10 "storaged@$host to start" test -s "$pid_file"
    local pid
    if pid=$(outer_pid "$host" "$(cat "$pid_file")"); then
        remember "storaged@$host" "$pid"
        wait_for 30 "the portals of storaged@$host; its log: $log" storage_portals_answer "$host"
    fi
    is_running "storaged@$host" || die "storaged@$host ended: $(tail -n 3 "$log" | tr '\n' ' ')"
}

# outer_pid HOST PID: the id on this machine of a process that has the given one on the host.
outer_pid() {
    local pid inner
    for pid in $(ip netns pids "$LAB_SPACE-$1"); do
        inner=$(awk '$1 == "NSpid:" && NF > 2 { print $NF }' "/proc/$pid/status" 2>/dev/null) || continue
        [[ $inner == "$2" ]] || continue
        echo "$pid"
        return 0
    done
    return 1
}
