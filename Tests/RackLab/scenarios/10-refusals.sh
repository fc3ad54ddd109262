# shellcheck shell=bash
title="refusals: a program or kernel module missing, multipathd on the volume, a path in use, foreign data"

scenario() {
    new_volumes
    local program
    program=$(node_run client0 readlink -f /usr/sbin/mkfs.gfs2)
    node_run client0 mv "$program" "$program.away"
    check "a missing program is named with its package (exit 12), before the first step" \
        refused client0 12 '^attach: mkfs.gfs2: .*apt-get install gfs2-utils'
    check "nothing of the stack was begun" is_clean client0
    node_run client0 mv "$program.away" "$program"

    hide_module client0 dm_multipath
    check "a missing kernel module is named (exit 12), before the first step" \
        refused client0 12 'kernel module dm_multipath: .*install the modules'
    check "nothing of the stack was begun" is_clean client0
    node_script client0 <<<'umount "/lib/modules/$(uname -r)/modules.dep"'

    local wwid
    wwid=$(node_run client0 attach plan --volume mpath0 --json </dev/null | jq -er '.identifiers[] | select(.object == "volume mpath0" and .kind == "wwid").value')
    node_install client0 multipath-tools kpartx liburcu8
    node_run client0 bash -c 'modprobe dm_multipath && mkdir -p /etc/multipath && multipath -a "$1" >/dev/null &&
        { setsid multipathd -d -s >/run/rack/multipathd.log 2>&1 </dev/null & } && sleep 1 && pidof multipathd' multipath "$wwid" >/dev/null
    check "multipathd that claims the volume is named, with what to do (exit 13)" \
        refused client0 13 "^attach: mpath0: multipathd runs and has taken $wwid; .*multipath -w $wwid"
    check "nothing of the stack was begun" is_clean client0
    node_run client0 bash -c 'kill "$(pidof multipathd)"; while pidof multipathd; do sleep 0.2; done; rm -r /etc/multipath' >/dev/null

    require "the map of mpath0 alone comes up" attach_on client0 120 up --volume mpath0
    node_script client0 <<'EOF'
slaves=/sys/block/$(basename "$(readlink -f /dev/mapper/mpath0)")/slaves
mkfs.ext4 -q -F /dev/mapper/mpath0
kill -9 "$(pgrep -f 'attach monitor' | head -n 1)"
path=$(ls "$slaves" | head -n 1)
udevadm settle
dmsetup remove --retry mpath0
dmsetup create squatter --table "0 2097152 linear /dev/$path 0"
EOF
    check "a path that something else holds is named with its holder" \
        refused client0 13 'mpath0.*squatter' --volume mpath0
    node_run client0 dmsetup remove --retry squatter
    check "ext4 on a volume is named before any cluster is started (exit 14)" \
        refused client0 14 'mpath0: it is not empty: .*ext4'
    check "no corosync, dlm or lvmlockd was started" node_script client0 <<<'! pgrep -l "corosync|dlm_controld|lvmlockd"'
    check "and the ext4 is untouched" node_run client0 fsck.ext4 -n -f /dev/mapper/mpath0
    require "down" stack_down client0
    check "nothing is left on client0" is_clean client0
    new_volumes
}

# refused NODE CODE PATTERN [ARGUMENT...]: `attach up` ends with that exit code and a line of standard error that matches.
refused() {
    local node=$1 wanted=$2 pattern=$3 output code=0
    output=$(attach_on "$node" 120 up "${@:4}" 2>&1 >/dev/null) || code=$?
    echo "$output"
    equals "exit code" "$wanted" "$code" && grep -Eq "$pattern" <<<"$output"
}

# hide_module NODE NAME: as if it had not been installed.
hide_module() {
    node_script "$1" "$2" <<'EOF'
modprobe -r dm_round_robin dm_service_time dm_queue_length 2>/dev/null || true
modprobe -r "$1" 2>/dev/null || true
list=/lib/modules/$(uname -r)/modules.dep
pattern=${1//_/[-_]}
grep -v "^[^:]*/$pattern\.ko" "$list" >/run/rack/modules.dep
mount --bind /run/rack/modules.dep "$list"
EOF
}
