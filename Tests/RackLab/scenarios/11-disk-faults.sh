# shellcheck shell=bash
title="a disk that gives I/O errors below storaged: sense data of the block concerned, a failed flush, the other unit unharmed"

# The storage host is a client's kernel here: the machine's own has no device-mapper to make a disk fail with.
scenario() {
    require "storaged serves a disk with 8 bad blocks, and a good one" make_disks
    require "the kernel initiator has both" log_in_locally
    local bad good
    bad=$(unit_device bad)
    good=$(unit_device good)
    require "each unit is called after its file: ${bad:-?} and ${good:-?}" test -n "$bad" -a -n "$good"

    check "a good block of the bad disk is read" read_block "$bad" 0
    check "a bad one is an I/O error" fails read_block "$bad" 8192
    check "with MEDIUM ERROR, unrecovered read error, and the block" node_run client0 sh -c \
        "sg_raw -r 512 $bad 28 00 00 01 00 02 00 00 01 00 2>&1 | tee /run/rack/sense; grep -qi 'medium error' /run/rack/sense &&
         grep -qi 'unrecovered read error' /run/rack/sense && grep -qiE '0x10002|65538' /run/rack/sense"
    check "the blocks beside it are still read" read_block "$bad" 8193
    check "status counts the error and names the unit (exit 1 or 2)" status_counts_error
    check "the other unit never noticed" node_run client0 dd if=/dev/zero of="$good" bs=1M count=8 oflag=direct conv=fsync status=none

    check "a write to a bad block is never acknowledged as durable" fails node_run client0 \
        dd if=/dev/zero of="$bad" bs=4096 seek=8192 count=1 oflag=direct conv=fsync status=none
    check "after the failed flush the unit is set aside: HARDWARE ERROR" fails read_block "$bad" 0
    check "status says so (exit 2)" unit_is_set_aside
    check "the daemon and the other unit go on" read_block "$good" 0

    node_script client0 <<'EOF'
kill -9 "$(pgrep -x storaged)"
/run/rack/lab/bin/storaged export /dev/mapper/bad /run/rack/good.img --portal 127.0.0.1 >/run/rack/storaged.log 2>&1 </dev/null &
EOF
    check "restarted, it reads what is there again" eventually read_block "$bad" 0

    node_script client0 <<'EOF'
iscsiadm -m node --logout >/dev/null
iscsiadm -m node -o delete
kill "$(pgrep -x storaged)" "$(pgrep -x iscsid | tail -n 1)"
sleep 1
pkill -9 -x iscsid || true
dmsetup remove --retry bad
losetup -D
rm -rf /run/rack/bad.img /run/rack/good.img /var/lib/iscsi /etc/iscsi/nodes /etc/iscsi/send_targets
EOF
    check "nothing is left on client0" is_clean client0
}

make_disks() {
    node_script client0 <<'EOF'
modprobe loop
truncate -s 64M /run/rack/bad.img /run/rack/good.img
modprobe dm_mod
loop=$(losetup -f --show /run/rack/bad.img)
dmsetup create bad <<TABLE
0 65536 linear $loop 0
65536 8 error
65544 65528 linear $loop 65544
TABLE
/run/rack/lab/bin/storaged export /dev/mapper/bad /run/rack/good.img --portal 127.0.0.1 >/run/rack/storaged.log 2>&1 </dev/null &
for _ in $(seq 50); do
    /run/rack/lab/bin/storaged status >/dev/null && exit 0
    sleep 0.2
done
cat /run/rack/storaged.log
exit 1
EOF
}

log_in_locally() {
    node_script client0 <<'EOF'
modprobe iscsi_tcp
pidof iscsid >/dev/null || iscsid
iscsiadm -m discovery -t sendtargets -p 127.0.0.1 >/dev/null
iscsiadm -m node --login >/dev/null
udevadm settle
[ "$(ls -d /sys/block/sd* | wc -l)" = 2 ]
EOF
}

# unit_device NAME: the disk of the unit whose product identification is the file's name.
unit_device() {
    node_script client0 "$1" <<'EOF'
for disk in /sys/block/sd*; do
    case $(cat "$disk/device/model") in "$1"*) echo "/dev/${disk##*/}" ;; esac
done
EOF
}

read_block() { node_run client0 dd if="$1" of=/dev/null bs=4096 skip="$2" count=1 iflag=direct status=none; }

fails() { ! "$@"; }

eventually() {
    local _
    for _ in $(seq 60); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.5
    done
    "$@"
}

status_counts_error() {
    local output code=0
    output=$(node_run client0 /run/rack/lab/bin/storaged status --json) || code=$?
    echo "$output"
    ((code == 1 || code == 2)) && jq -e '[.targets[] | select(.path | endswith("bad")) | .ioErrors][0] > 0' <<<"$output"
}

unit_is_set_aside() {
    local output code=0
    output=$(node_run client0 /run/rack/lab/bin/storaged status) || code=$?
    echo "$output"
    equals "exit code" 2 "$code" && grep -q bad <<<"$output"
}
