# shellcheck shell=bash
# Commands on nodes. A client runs an SSH server (dropbear) on the lab's own network, which no fault touches: exit code,
# input, both outputs and terminals come with it. A storage host is entered through its namespaces.

SSH_OPTIONS=(-q -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null
    -o IdentitiesOnly=yes -o ConnectTimeout=5 -o LogLevel=ERROR -o ServerAliveInterval=0)

# ssh_open NODE: all commands to one node share one connection; a new one costs a key exchange each.
ssh_open() {
    local node=$1
    [[ -S $RUN/ssh/$node ]] && return 0
    # Its own session, so that Ctrl-C ends the command and not the connection of all others.
    setsid ip netns exec "$FABRIC" timeout 5 ssh "${SSH_OPTIONS[@]}" -i "$STATE/keys/exec" -M -N -f \
        -o ControlPath="$RUN/ssh/$node" "root@$(address_of "$node" mgmt)" </dev/null >/dev/null 2>&1
}

ssh_close() {
    [[ -S $RUN/ssh/$1 ]] || return 0
    timeout 5 ssh -q -F /dev/null -o ControlPath="$RUN/ssh/$1" -O exit root@node >/dev/null 2>&1 || true
    rm -f "$RUN/ssh/$1"
}

# The PATH and folder that a login would give.
NODE_PROLOGUE='export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; cd /root; '

# node_run NODE COMMAND...: runs a command with its arguments as they are; the exit code is the command's.
node_run() {
    local node=$1
    shift
    if is_storage_host "$node"; then
        in_storage "$node" "$@"
    else
        is_running "$node" || die "$node does not run; start it with: Tests/rack start $node"
        # NODE_DEADLINE: seconds after which the answer of a node that may hang is not waited for.
        in_fabric ${NODE_DEADLINE:+timeout "$NODE_DEADLINE"} ssh "${SSH_OPTIONS[@]}" -i "$STATE/keys/exec" -o ControlPath="$RUN/ssh/$node" \
            "root@$(address_of "$node" mgmt)" "$NODE_PROLOGUE exec $(printf '%q ' "$@")"
    fi
}

# node_script NODE [ARGUMENT...] <SCRIPT: runs a bash script given on standard input.
node_script() {
    local node=$1
    shift
    node_run "$node" bash -euo pipefail -s -- "$@"
}

# exec_command NODE COMMAND...: `Tests/rack exec`. A signal that ends this program ends the command on the node too.
exec_command() {
    local node=$1
    shift
    need_node "$node"
    if is_storage_host "$node"; then
        local init
        init=$(process_of "$node") || die "$node does not run; start it with: Tests/rack start $node"
        exec nsenter --target "$init" --net --mount --uts --pid -- env PATH="$STATE/bin:$PATH" "$@"
    fi
    is_running "$node" || die "$node does not run; start it with: Tests/rack start $node"
    local mark=/run/rack/exec.$$ child code=0
    # The command's failure is the caller's business.
    trap - ERR
    # setsid: the command leads a process group on the node, which is what gets the signal.
    # shellcheck disable=SC2016 # expanded on the node
    node_run "$node" setsid --wait bash -c 'mark=$1; shift; echo $$ >"$mark"; exec "$@"' exec "$mark" "$@" <&0 &
    child=$!
    # shellcheck disable=SC2064 # the values of now are meant
    trap "exec_signal '$node' '$mark' TERM $child" TERM HUP
    # shellcheck disable=SC2064
    trap "exec_signal '$node' '$mark' INT $child" INT
    while :; do
        code=0
        wait "$child" || code=$?
        # A signal interrupts wait; the command may still be running.
        ((code > 128)) && kill -0 "$child" 2>/dev/null && continue
        break
    done
    exit "$code"
}

# exec_signal NODE MARK SIGNAL CHILD: passes a signal on; where the node does not take it, ends the waiting.
exec_signal() {
    local NODE_DEADLINE=3
    # shellcheck disable=SC2016 # expanded on the node
    node_run "$1" bash -c 'read -r group <"$1" && kill -s "$2" -- "-$group"' signal "$2" "$3" </dev/null 2>/dev/null ||
        kill -TERM "$4" 2>/dev/null || true
}

# shell_command NODE: an interactive shell.
shell_command() {
    local node=$1
    need_node "$node"
    if is_storage_host "$node"; then
        exec_command "$node" bash -l
    fi
    is_running "$node" || die "$node does not run; start it with: Tests/rack start $node"
    exec ip netns exec "$FABRIC" ssh "${SSH_OPTIONS[@]}" -t -i "$STATE/keys/exec" -o ControlPath="$RUN/ssh/$node" \
        "root@$(address_of "$node" mgmt)"
}
