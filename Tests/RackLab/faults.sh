# shellcheck shell=bash
# Faults, each with its opposite. What is broken is asked from the system (status.sh), not from a note, wherever the
# system can tell.

fault_command() {
    local verb=${1-}
    (($# > 0)) && shift
    need_lab
    case $verb in
        cut) fault_cut "$@" ;;
        heal) fault_heal "$@" ;;
        stop | continue | kill | start) fault_process "$verb" "$@" ;;
        loss | delay) fault_quality "$verb" "$@" ;;
        *) usage_error "fault: cut, heal, stop, continue, kill, start, loss or delay" ;;
    esac
}

# fault_cut NETWORK | NODE NETWORK
fault_cut() {
    case $# in
        1)
            need_network "$1"
            in_fabric ip link set "$1" down
            ;;
        2)
            need_port "$1" "$2"
            # Off the bridge, both ways at once. (A tap that is down gives its writer an error, after which user-mode
            # Linux never reads that tap again.)
            in_fabric ip link set "$(port_of "$1" "$2")" nomaster
            ;;
        *) usage_error "fault cut NETWORK, or fault cut NODE NETWORK" ;;
    esac
}

# fault_heal [NETWORK | NODE NETWORK]: without arguments all networks, ports, losses and delays.
fault_heal() {
    local network node
    case $# in
        0)
            for network in "${NETWORKS[@]}"; do
                fault_heal "$network"
                for node in "${STORAGE_HOSTS[@]}" "${CLIENTS[@]}"; do
                    [[ " $(networks_of "$node") " == *" $network "* ]] && fault_heal "$node" "$network"
                done
            done
            ;;
        1)
            need_network "$1"
            in_fabric ip link set "$1" up
            ;;
        2)
            need_port "$1" "$2"
            in_fabric ip link set "$(port_of "$1" "$2")" master "$2"
            quality_clear "$1" "$2"
            ;;
        *) usage_error "fault heal [NETWORK | NODE NETWORK]" ;;
    esac
}

need_port() {
    need_node "$1"
    need_network "$2"
    [[ " $(networks_of "$1") " == *" $2 "* ]] || usage_error "$1 has no port on $2; it has: $(networks_of "$1")"
}

# fault_process stop|continue|kill|start NODE|storaged@HOST
fault_process() {
    local verb=$1 what=${2-} pid
    [[ -n $what && $# -eq 2 ]] || usage_error "fault $verb NODE, or fault $verb storaged@HOST"
    if [[ $what == storaged@* ]]; then
        is_storage_host "${what#storaged@}" || usage_error "no storage host '${what#storaged@}'; there are: ${STORAGE_HOSTS[*]}"
    else
        need_node "$what"
    fi
    if [[ $verb == start ]]; then
        if [[ $what == storaged@* ]]; then
            storaged_up "${what#storaged@}"
        else
            node_start "$what"
        fi
        return
    fi
    pid=$(process_of "$what") || die "$what does not run"
    case $verb in
        stop)
            signal_all STOP "$what" "$pid"
            ;;
        continue)
            signal_all CONT "$what" "$pid"
            ;;
        kill)
            if [[ $what == storaged@* ]]; then
                kill -KILL "$pid"
                wait_for 10 "$what to end" is_pid_gone "$pid"
                forget "$what"
            else
                node_kill "$what"
            fi
            ;;
    esac
}

# signal_all STOP|CONT WHAT PID. A client stops with its kernel's process: the others in its group are the bodies of its
# user programs, which that one process runs by ptrace and would misread a signal of. A storage host is all that runs in
# its network namespace; some of those stop or continue one another, hence the check.
signal_all() {
    if is_storage_host "$2"; then
        wait_for 10 "the processes of $2 to take $1" signal_storage_host "$1" "$2"
    else
        kill -s "$1" "$3"
    fi
}

signal_storage_host() {
    local pid word settled=0
    for pid in $(ip netns pids "$LAB_SPACE-$2"); do
        word=$(state_of "$pid") || continue
        case $1$word in
            STOPT | STOPZ | CONT[^T]) ;;
            *)
                kill -s "$1" "$pid" 2>/dev/null || true
                settled=1
                ;;
        esac
    done
    return $settled
}

# fault_quality loss NODE NETWORK PERCENT | delay NODE NETWORK MILLISECONDS, both directions, made in the client's own
# kernel (netem): it has the module whatever this machine's kernel has.
fault_quality() {
    local kind=$1 node=${2-} network=${3-} amount=${4-} effect
    [[ $# -eq 4 && $amount =~ ^[0-9]+$ ]] ||
        usage_error "fault loss NODE NETWORK PERCENT, or fault delay NODE NETWORK MILLISECONDS"
    need_port "$node" "$network"
    is_client "$node" || die "loss and delay are made by the kernel of a client node; $node has none of its own: name a client"
    # One file holds one effect, so that loss and delay can be set one after the other and both hold.
    echo "$amount" >"$RUN/faults/$kind.$node.$network"
    effect=$(quality_of "$node" "$network")
    node_script "$node" "$network" "ifb-$network" "$effect" <<'END'
read -ra effect <<<"$3"
tc qdisc replace dev "$1" root netem "${effect[@]}"
if [[ ! -e /sys/class/net/$2 ]]; then
    ip link add "$2" type ifb
    ip link set "$2" up
    tc qdisc add dev "$1" clsact
    tc filter add dev "$1" ingress matchall action mirred egress redirect dev "$2"
fi
tc qdisc replace dev "$2" root netem "${effect[@]}"
END
}

quality_of() {
    local effect=
    [[ -e $RUN/faults/loss.$1.$2 ]] && effect+="loss $(cat "$RUN/faults/loss.$1.$2")% "
    [[ -e $RUN/faults/delay.$1.$2 ]] && effect+="delay $(cat "$RUN/faults/delay.$1.$2")ms"
    echo "$effect"
}

quality_clear() {
    [[ -e $RUN/faults/loss.$1.$2 || -e $RUN/faults/delay.$1.$2 ]] || return 0
    rm -f "$RUN/faults/loss.$1.$2" "$RUN/faults/delay.$1.$2"
    is_running "$1" || return 0
    node_script "$1" "$2" "ifb-$2" <<'END'
tc qdisc del dev "$1" root
tc qdisc del dev "$1" clsact
ip link del "$2"
END
}
