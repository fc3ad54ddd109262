# shellcheck shell=bash
# Storage hosts: a namespace of network, mounts, processes and host name each, on the machine's own kernel, running the
# real storaged. `storage-init` is process 1 in there; with it everything of the host ends.

# in_storage HOST COMMAND...: runs a command on a storage host.
in_storage() {
    local host=$1 init
    shift
    init=$(process_of "$host") || die "$host does not run; start it with: Tests/rack start $host"
    nsenter --target "$init" --net --mount --uts --pid -- "$@"
}

storage_host_up() {
    local host=$1 space=$SPACE-$1 folder=$STATE/nodes/$1
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
    local unshare=$!
    disown "$unshare"
    wait_for 20 "$host to start ($STATE/logs/$host.log)" test -e "$folder/ready"
    # The process that is 1 inside is the only child of the unshare that made the namespace.
    remember "$host" "$(child_of "$unshare")"
    storaged_up "$host"
}

storage_portals_answer() {
    local network open
    is_running "storaged@$1" || return 0
    for network in san0 san1; do
        open=$(ip netns exec "$SPACE-$1" ss -Hltn "src $(address_of "$1" "$network"):3260")
        [[ -n $open ]] || return 1
    done
}

storaged_up() {
    local host=$1 log=$STATE/logs/storaged-$1.log init entered
    init=$(process_of "$host") || die "$host does not run; start it with: Tests/rack start $host"
    is_running "storaged@$host" && die "storaged@$host runs already"
    setsid nsenter --target "$init" --net --mount --uts --pid -- \
        "$STATE/bin/storaged" run --rack /etc/rack/rack.yaml --host "$host" </dev/null >>"$log" 2>&1 &
    entered=$!
    disown "$entered"
    # nsenter forks into the process namespace: storaged is its child.
    if wait_for 10 "storaged@$host to start" has_child_or_gone "$entered" && has_child "$entered"; then
        remember "storaged@$host" "$(child_of "$entered")"
        wait_for 30 "the portals of storaged@$host; its log: $log" storage_portals_answer "$host"
    fi
    is_running "storaged@$host" || die "storaged@$host ended: $(tail -n 3 "$log" | tr '\n' ' ')"
}

has_child_or_gone() { has_child "$1" || is_pid_gone "$1"; }
