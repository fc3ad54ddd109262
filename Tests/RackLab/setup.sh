# shellcheck shell=bash
# What has to be there before the lab starts: Debian packages, Swift, the programs under test, the lab's own parts.

SWIFT_VERSION=6.3.1

# Libraries the programs are built against, what the nodes run, what the lab itself calls.
PACKAGES=(
    build-essential git pkg-config
    liburing-dev libiscsi-dev libisal-dev libsystemd-dev libdevmapper-dev libudev-dev
    user-mode-linux open-iscsi dmsetup lvm2 lvm2-lockd corosync dlm-controld gfs2-utils udev kmod
    libiscsi-bin sg3-utils fio e2fsprogs psmisc lsof procps
    iproute2 ethtool util-linux openssh-client dropbear-bin jq groff-base
)

missing_packages() {
    local package
    for package in "${PACKAGES[@]}"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
    done
}

# The services that come with the packages belong on the nodes, not on this machine: a policy-rc.d forbids their start
# while they are installed, and what was enabled for the next boot is disabled again.
install_packages() {
    local -a missing
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null ||
        die "these Debian packages are needed and apt-get is not here to install them: ${missing[*]}"
    need_root
    say "installing ${#missing[@]} Debian packages: ${missing[*]}"
    local policy=/usr/sbin/policy-rc.d kept log code=0
    kept=$(mktemp -d /tmp/rack-lab-packages.XXXXXX)
    log=$kept/apt.log
    if [[ -e $policy || -L $policy ]]; then
        mv "$policy" "$kept/policy-rc.d"
    fi
    (
        trap 'restore_policy "$policy" "$kept"' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        export DEBIAN_FRONTEND=noninteractive
        apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 || {
            apt-get update >>"$log" 2>&1
            apt-get install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1
        }
    ) || code=$?
    if ((code != 0)); then
        tail -n 20 "$log" >&2
        die "the packages could not be installed; the whole log: $log"
    fi
    disable_new_services "${missing[@]}"
    rm -rf "$kept"
}

restore_policy() {
    rm -f "$1"
    if [[ -e $2/policy-rc.d || -L $2/policy-rc.d ]]; then
        mv "$2/policy-rc.d" "$1"
    fi
}

disable_new_services() {
    command -v deb-systemd-helper >/dev/null || return 0
    local unit
    while read -r unit; do
        deb-systemd-helper disable "$unit" >/dev/null 2>&1 || true
    done < <(dpkg -L "$@" 2>/dev/null | sed -n 's|.*/lib/systemd/system/\([^/]*\.\(service\|socket\)\)$|\1|p' |
        { grep -E '^(open-iscsi|iscsid|corosync|dlm|lvmlockd|lvmlocks|gfs2)' || true; } | sort -u)
}

check_swift() {
    local version
    if ! command -v swift >/dev/null; then
        die "Swift $SWIFT_VERSION is needed and not on PATH; get it from https://www.swift.org/install/linux/ (swiftly install $SWIFT_VERSION)"
    fi
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9.]*\).*/\1/p' | head -n 1)
    if [[ $(printf '%s\n%s\n' "$SWIFT_VERSION" "$version" | sort -V | head -n 1) != "$SWIFT_VERSION" ]]; then
        die "Swift $SWIFT_VERSION is needed, this is ${version:-an unknown version}; get it from https://www.swift.org/install/linux/ (swiftly install $SWIFT_VERSION)"
    fi
}

# What is built and copied to the nodes; scenarios add a checker of their own.
PRODUCTS=(storaged attach)

# build_programs: PRODUCTS, unless RACK_BIN_DIR says where they are. Sets BIN_DIR.
build_programs() {
    if [[ -n ${RACK_BIN_DIR:-} ]]; then
        BIN_DIR=$RACK_BIN_DIR
    else
        check_swift
        say "building storaged and attach (swift build -c release)"
        local product log=$STATE/logs/build.log
        mkdir -p "$STATE/logs"
        for product in "${PRODUCTS[@]}"; do
            if ! swift build --package-path "$REPO" -c release --product "$product" >"$log" 2>&1; then
                grep -E 'error:|warning:' "$log" >&2 || tail -n 30 "$log" >&2
                die "the build of $product failed; the whole log: $log"
            fi
        done
        BIN_DIR=$(swift build --package-path "$REPO" -c release --show-bin-path)
    fi
    local program
    for program in "${PRODUCTS[@]}"; do
        [[ -x $BIN_DIR/$program ]] || die "$BIN_DIR/$program is missing"
    done
}

# prepare_state: the folder that the lab works in, with copies of what the nodes run, so that a build that goes on
# meanwhile cannot change a program under a running node.
prepare_state() {
    [[ $STATE != *[[:space:]]* ]] || die "the state folder $STATE holds a blank; set RACK_STATE_DIR to one without"
    [[ $STATE != /run/* ]] || die "the state folder $STATE is in /run, which nodes have one of their own of; set RACK_STATE_DIR"
    mkdir -p "$STATE/logs"
    remove_state
    mkdir -p "$STATE/bin" "$STATE/bin-lab" "$STATE/nodes" "$STATE/rules" "$RUN/faults" "$RUN/uml"
    (umask 077 && mkdir -p "$STATE/keys" "$RUN/ssh")
    cp "${PRODUCTS[@]/#/$BIN_DIR/}" "$STATE/bin/"
    cp "$REPO/Tests/RackLab/node-init" "$REPO/Tests/RackLab/storage-init" "$STATE/bin-lab/"
    cc -O2 -Wall -Wextra -shared -fPIC -o "$STATE/bin-lab/xsave-ptrace.so" "$REPO/Tests/RackLab/xsave-ptrace.c"
    find "$REPO/Initiators" -name '*.rules' -exec cp {} "$STATE/rules/" \; 2>/dev/null || true
    ssh-keygen -q -t ed25519 -N '' -C rack-lab -f "$STATE/keys/exec"

    local node
    for node in "${STORAGE_HOSTS[@]}" "${CLIENTS[@]}"; do
        mkdir -p "$STATE/nodes/$node"
        cp "$INVENTORY" "$STATE/nodes/$node/rack.yaml"
        hosts_file >"$STATE/nodes/$node/hosts"
        : >"$STATE/logs/$node.log"
        if is_client "$node"; then
            dropbearkey -t ed25519 -f "$STATE/nodes/$node/host.key" >/dev/null 2>&1
        else
            : >"$STATE/logs/storaged-$node.log"
        fi
    done
}

# remove_state: all of the folder but the logs.
remove_state() { rm -rf "${STATE:?}"/{bin,bin-lab,keys,nodes,packages,rules}; }

hosts_file() {
    echo "127.0.0.1 localhost"
    local node
    for node in "${CLIENTS[@]}"; do
        echo "$(address_of "$node" cluster) $node"
    done
    for node in "${STORAGE_HOSTS[@]}"; do
        echo "$(address_of "$node" san0) $node"
    done
}

setup() {
    need_root
    install_packages
    [[ -c /dev/net/tun ]] || die "/dev/net/tun is missing: load the tun module (modprobe tun) or pass the device in"
    build_programs
}
