# shellcheck shell=bash
# What every part of the lab uses: names and folders, messages, waiting with a deadline, processes known by id.

# RACK_LAB names the lab; labs of different names run side by side on one machine.
RACK_LAB=${RACK_LAB:-lab}
if [[ ! $RACK_LAB =~ ^[a-z][a-z0-9]{0,15}$ ]]; then
    echo "rack: RACK_LAB '$RACK_LAB' must be 1 to 16 of a-z and 0-9, a letter first" >&2
    exit 64
fi

# Disks, keys, logs and copies of the programs; also the folder that nodes see through hostfs.
STATE=${RACK_STATE_DIR:-$REPO/.build/rack-lab}/$RACK_LAB
# Process ids, faults and sockets: short paths (a socket's path has room for 107 bytes), gone after a reboot.
RUN=/run/rack-lab/$RACK_LAB
# The namespace that holds the bridges, and the prefix of every namespace of this lab.
LAB_SPACE=rack-$RACK_LAB
FABRIC=$LAB_SPACE-fabric

say() { printf '%s\n' "$*" >&2; }

# Ends the program with one line that says what is wrong and what to do.
die() {
    say "rack: $*"
    exit 1
}

# Where a command failed that nobody expected to fail.
trap_errors() {
    trap 'say "rack: failed in ${FUNCNAME[0]:-main} (${BASH_SOURCE[0]##*/} line $LINENO): $BASH_COMMAND"' ERR
}

usage_error() {
    say "rack: $* (Tests/rack --help)"
    exit 64
}

# wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds; after SECONDS says what it waited for, and fails.
wait_for() {
    local seconds=$1 what=$2 deadline
    shift 2
    deadline=$((SECONDS + seconds))
    until "$@"; do
        if ((SECONDS >= deadline)); then
            say "rack: waited $seconds s for $what, in vain"
            return 1
        fi
        sleep 0.2
    done
}

# Wall clock in milliseconds, for the elapsed times that are printed.
now_ms() {
    local now=$EPOCHREALTIME
    echo $((${now/./} / 1000))
}

# elapsed START_MS: seconds since then with one decimal.
elapsed() {
    local spent=$(($(now_ms) - $1))
    printf '%d.%d' $((spent / 1000)) $((spent % 1000 / 100))
}

# A process is known by id and start time, so that an id used again is never taken for it.
start_time_of() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The name in field 2 may hold blanks: count from the parenthesis that ends it.
    local -a fields
    read -ra fields <<<"${stat##*) }"
    echo "${fields[19]}"
}

# state_of PID: R, S, D, T (stopped), Z as the kernel gives it.
state_of() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    echo "${stat%% *}"
}

# remember NAME PID: keeps a process under a name.
remember() {
    mkdir -p "$RUN/processes"
    echo "$2 $(start_time_of "$2")" >"$RUN/processes/$1"
}

forget() { rm -f "$RUN/processes/$1"; }

# process_of NAME: prints the id of a remembered process that still runs; fails otherwise.
process_of() {
    local pid started state
    read -r pid started 2>/dev/null <"$RUN/processes/$1" || return 1
    [[ $(start_time_of "$pid") == "$started" ]] || return 1
    state=$(state_of "$pid") || return 1
    [[ $state != Z ]] || return 1
    echo "$pid"
}

is_running() { process_of "$1" >/dev/null; }
is_gone() { ! is_running "$1"; }
is_pid_gone() { [[ ! -e /proc/$1 || $(state_of "$1") == Z ]]; }

in_fabric() { ip netns exec "$FABRIC" "$@"; }

lab_is_up() { [[ -e /run/netns/$FABRIC ]]; }

need_lab() {
    lab_is_up || die "no lab named '$RACK_LAB' runs here; start it with: Tests/rack up"
}

need_root() {
    ((EUID == 0)) || die "network namespaces and taps need root: run it with sudo"
}
