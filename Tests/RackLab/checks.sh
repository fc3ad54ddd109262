# shellcheck shell=bash
# What the walk-through and the scenarios look at on a node, by the kernel's own account and not by attach's, and how
# they print what they found.

PORTALS=()
for host in "${STORAGE_HOSTS[@]}"; do
    for network in san0 san1; do PORTALS+=("$(address_of "$host" "$network")"); done
done

# Failures of the scenario that runs.
FAILURES=0

# holds WORDS COMMAND...: PASS or FAIL; what the command printed is the evidence of a failure.
holds() {
    local words=$1 output code=0
    shift
    output=$("$@" 2>&1) || code=$?
    if ((code == 0)); then
        echo "  PASS  $words"
        return 0
    fi
    echo "  FAIL  $words"
    printf '%s\n' "${output:-(no output)}" | tail -n 20 | sed 's/^/        /'
    printf '        exit code %s of: %.200s\n' "$code" "$*"
    return 1
}

# check WORDS COMMAND...: a failure is counted, and the scenario goes on.
check() { holds "$@" || FAILURES=$((FAILURES + 1)); }

# require WORDS COMMAND...: a check without which the rest of the scenario has no sense.
require() {
    holds "$@" && return 0
    echo "  the rest of this scenario needs that"
    exit 1
}

# equals WHAT WANTED FOUND
equals() {
    [[ $2 == "$3" ]] || {
        echo "$1: wanted '$2', found '$3'"
        return 1
    }
}

# attach_on NODE SECONDS ARGUMENT...: attach there, with a deadline. Inventory and client are attach's own defaults:
# /etc/rack/rack.yaml, and the node's host name.
attach_on() {
    local node=$1 NODE_DEADLINE=$2
    shift 2
    node_run "$node" attach "$@" </dev/null
}

# on_all_clients FUNCTION ARGUMENT...: FUNCTION NODE ARGUMENT... for every client at the same time; fails when one does.
# Every line is printed as it comes, with the client's name before it.
on_all_clients() {
    local node pid code=0
    local -a pids=()
    for node in "${CLIENTS[@]}"; do
        (
            trap - ERR
            "$1" "$node" "${@:2}" 2>&1 | sed -u "s/^/$node: /"
        ) &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || code=$?
    done
    return "$code"
}

stack_up() { attach_on "$1" "${2:-300}" up "${@:3}"; }
stack_down() { attach_on "$1" "${2:-240}" down "${@:3}"; }

# LVM's own view, read without locks: what the volume group holds must not depend on whether a lock manager answers.
volume_group_extents() {
    node_run "$1" vgs --config global/use_lvmlockd=1 --nolocking --noheadings -o vg_extent_count VG0 2>/dev/null |
        tr -d ' ' || echo unknown
}

volume_blocks() {
    local bytes
    if bytes=$(node_run "$1" blockdev --getsize64 /dev/VG0/LV0); then
        echo $((bytes / 4096))
    else
        echo unknown
    fi
}

is_mounted() {
    local found
    found=$(node_run "$1" findmnt -n -o FSTYPE,TARGET --target /mnt) || true
    equals "the file system at /mnt of $1" "gfs2 /mnt" "$(tr -s " " <<<"$found")" &&
        node_run "$1" test -d /sys/fs/gfs2/client:gfs2
}

# paths_in_state NODE A|F: how many paths the kernel's multipath maps have in that state.
paths_in_state() {
    node_run "$1" dmsetup status --target multipath | awk -v state="$2" '
        { for (i = 5; i < NF; i++) if ($i ~ /^[0-9]+:[0-9]+$/ && $(i + 1) == state) count++ }
        END { print count + 0 }'
}

all_paths_active() {
    equals "active paths on $1" "$((2 * STORAGE_COUNT))" "$(paths_in_state "$1" A)"
}

# is_clean NODE: nothing of the stack is left.
is_clean() {
    node_script "$1" <<'END'
left=0
has() { echo "left on $(hostname): $*"; left=1; }
mounts=$(findmnt -n -t gfs2,gfs2meta || true)
[[ -z $mounts ]] || has "mount $mounts"
if [[ -e /dev/mapper/control ]]; then
    maps=$(dmsetup ls)
    [[ $maps == "No devices found" ]] || has "maps $maps"
fi
sessions=$(ls /sys/class/iscsi_session 2>/dev/null || true)
[[ -z $sessions ]] || has "sessions $sessions"
disks=$(ls -d /sys/block/sd* 2>/dev/null || true)
[[ -z $disks ]] || has "disks $disks"
records=$(find /etc/iscsi/nodes /etc/iscsi/send_targets /var/lib/iscsi -type f 2>/dev/null || true)
[[ -z $records ]] || has "records $records"
spaces=$(ls /sys/kernel/dlm 2>/dev/null || true)
[[ -z $spaces ]] || has "lockspaces $spaces"
processes=$(pgrep -la '^(attach|iscsid|corosync|dlm_controld|lvmlockd)$' || true)
[[ -z $processes ]] || has "processes $processes"
exit "$left"
END
}

# clean_slate: every client without a stack, every daemon running, no fault. A node that attach cannot clean is power
# cycled: a failed scenario must not fail the next one.
clean_slate() {
    local node host
    fault_heal
    for host in "${STORAGE_HOSTS[@]}"; do
        is_running "$host" || storage_host_up "$host"
        if is_running "storaged@$host"; then
            fault_process continue "storaged@$host"
        else
            storaged_up "$host"
        fi
    done
    for node in "${CLIENTS[@]}"; do
        if is_running "$node"; then
            fault_process continue "$node"
            [[ $(<"$STATE/nodes/$node/init") == "${RACK_CLIENT_INIT-}" ]] && is_clean "$node" >/dev/null 2>&1 && continue
        fi
        client_power_off "$node"
        client_power_on "$node"
    done
    for node in "${CLIENTS[@]}"; do
        client_wait_ready "$node"
    done
}

# new_volumes: empty backing files, as on the first day.
new_volumes() {
    local host
    for host in "${STORAGE_HOSTS[@]}"; do
        fault_process kill "storaged@$host"
        rm -f "$STATE/nodes/$host/volumes/"*
        storaged_up "$host"
    done
}
