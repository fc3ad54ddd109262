# shellcheck shell=bash
title="Debian's fence_scsi, fence_mpath and mpathpersist against storaged, unchanged; no write of a fenced client afterwards"

scenario() {
    new_volumes
    with_fence_scsi
    with_multipath_tools
    new_volumes
}

# On attach's map: fence_scsi speaks to the paths below it through sg_persist.
with_fence_scsi() {
    local map=/dev/mapper/mpath0 node
    require "the map of mpath0 is up on both clients" on_all_clients map_up
    for node in "${CLIENTS[@]}"; do node_install "$node" fence-agents; done
    check "fence_scsi unfences client0" node_run client0 fence_scsi --action=on --key=a0 --devices="$map"
    check "and client1" node_run client1 fence_scsi --action=on --key=a1 --devices="$map"
    check "each has its key on both paths" equals registrations 2,2 "$(keys client0 a0 "$map"),$(keys client0 a1 "$map")"
    check "the reservation is write exclusive, registrants only" node_script client0 "$map" <<'EOF'
sg_persist -n -i -r -d "$1" | grep -i 'Write Exclusive, registrants only'
EOF
    check "status of client1 is on" node_run client0 fence_scsi --action=status --key=a1 --devices="$map"

    local journal=$STATE/logs/stamps-fencing
    fenced_writer "$journal" "$map" &
    require "client1 writes" wait_for 20 "the first writes" test -s "$journal"
    check "fence_scsi fences client1 while it writes" node_run client0 fence_scsi --action=off --key=a1 --devices="$map"
    local before after
    before=$(region_sum)
    check "the writer of client1 ends with an error" wait_for 60 "the writer's end" ended_with_error "$journal"
    check "client1 can write no more" fails_on client1 dd if=/dev/zero of="$map" bs=4096 count=1 oflag=direct status=none
    sleep 3
    after=$(region_sum)
    check "no write of client1 reached the file after the fence agent's end" equals "sum of its blocks" "$before" "$after"
    check "and what it had acknowledged is there" "$BIN_DIR/block-stamp" verify \
        "$STATE/nodes/storage0/volumes/mpath0.img" "$journal"
    check "status of client1 is off (2)" node_script client0 "$map" <<'EOF'
code=0
fence_scsi --action=status --key=a1 --devices="$1" || code=$?
[ "$code" = 2 ]
EOF
    check "client0 writes on" node_run client0 dd if=/dev/zero of="$map" bs=4096 count=1 seek=200000 oflag=direct status=none
    check "storaged shows who is registered" node_script storage0 <<'EOF'
storaged status | grep 'reserved: write exclusive, registrants only'
EOF
    check "client1, unfenced again, writes" node_script client1 "$map" <<'EOF'
fence_scsi --action=on --key=a1 --devices="$1"
dd if=/dev/zero of="$1" bs=4096 count=1 oflag=direct status=none
EOF
    check "a restarted storaged knows them all" restart_keeps_keys "$map"
    node_run client0 sg_persist -n -o -C -K a0 -d "$map" >/dev/null
    require "down on both" on_all_clients stack_down
}

map_up() { attach_on "$1" 120 up --volume mpath0; }

# keys NODE KEY DEVICE: how many registrations have that key.
keys() { node_run "$1" sg_persist -n -i -k -d "$3" | grep -ciE "^ *0x0*$2\$" || true; }

fenced_writer() {
    local code=0
    rm -f "$1.end"
    node_run client1 /run/rack/lab/bin/block-stamp write "$2" --seconds 60 --workers 8 --blocks 1024 --client 1 \
        >"$1" 2>"$1.errors" </dev/null || code=$?
    echo "$code" >"$1.end"
}

ended_with_error() { [[ -s $1.end && $(cat "$1.end") != 0 ]]; }

fails_on() { ! node_run "$@" 2>&1; }

# The blocks that client1's writer has for itself, in the file.
region_sum() { head -c 32M "$STATE/nodes/storage0/volumes/mpath0.img" | sha256sum; }

restart_keeps_keys() {
    fault_process kill storaged@storage0
    storaged_up storage0
    wait_for 60 "both keys on both paths" has_all_keys "$1"
}

has_all_keys() { [[ $(keys client0 a0 "$1"),$(keys client0 a1 "$1") == 2,2 ]]; }

# On multipathd's map, which mpathpersist needs.
with_multipath_tools() {
    local node wwid map
    wwid=$(node_run client0 attach plan --volume mpath0 --json </dev/null |
        jq -er '.identifiers[] | select(.object == "volume mpath0" and .kind == "wwid").value')
    map=/dev/mapper/$wwid
    for node in "${CLIENTS[@]}"; do
        node_install "$node" multipath-tools kpartx liburcu8
        require "$node: multipathd has made its map of two paths" multipathd_up "$node" "b${node#client}" "$wwid"
    done
    check "mpathpersist reports the capabilities" node_script client0 "$map" <<'EOF'
mpathpersist -i -c -d "$1" | tee /dev/stderr | grep -q 'Persist Through Power Loss Capable *(PTPL_C): *1'
EOF
    check "fence_mpath unfences both" both_unfenced "$map"
    check "mpathpersist reads both keys" node_script client0 "$map" <<'EOF'
found=$(mpathpersist -i -k -d "$1")
echo "$found"
grep -q 0xb0 <<<"$found" && grep -q 0xb1 <<<"$found"
EOF
    check "client1 writes" node_run client1 dd if=/dev/zero of="$map" bs=4096 count=1 oflag=direct status=none
    check "fence_mpath fences client1" node_run client0 fence_mpath --action=off --plug=b1 --devices="$map"
    check "client1 writes no more" fails_on client1 dd if=/dev/zero of="$map" bs=4096 count=1 oflag=direct status=none
    check "client0 does" node_run client0 dd if=/dev/zero of="$map" bs=4096 count=1 oflag=direct status=none
    check "mpathpersist clears" node_run client0 mpathpersist -o -C --param-rk=b0 -d "$map"
    for node in "${CLIENTS[@]}"; do multipathd_down "$node"; done
    check "nothing is left on client0" is_clean client0
    check "nothing is left on client1" is_clean client1
}

both_unfenced() {
    local node
    for node in "${CLIENTS[@]}"; do
        node_run "$node" fence_mpath --action=on --plug="b${node#client}" --devices="$1" || return 1
    done
}

# initiator_of NODE: the iSCSI name that the inventory has for a client.
initiator_of() {
    node_run "$1" attach plan --json </dev/null |
        jq -er --arg object "client $1" '.identifiers[] | select(.object == $object and .kind == "initiator").value'
}

multipathd_up() {
    local portals
    portals="$(address_of storage0 san0) $(address_of storage0 san1)"
    # shellcheck disable=SC2086
    node_script "$1" "$2" "$3" "$(initiator_of "$1")" $portals <<'EOF'
key=$1 wwid=$2 name=$3
shift 3
modprobe iscsi_tcp
modprobe dm_multipath
mkdir -p /etc/multipath /run/cluster
cat >/etc/multipath.conf <<CONF
defaults {
    find_multipaths no
    user_friendly_names no
    reservation_key 0x$key
}
CONF
# storaged knows the clients of the inventory alone; iscsid reads its name when it starts.
echo "InitiatorName=$name" >/etc/iscsi/initiatorname.iscsi
! pidof iscsid >/dev/null || iscsiadm -k 0
for _ in $(seq 50); do pidof iscsid >/dev/null || break; sleep 0.1; done
iscsid
for portal; do iscsiadm -m discovery -t sendtargets -p "$portal" >/dev/null; done
iscsiadm -m node -o show >/dev/null
for portal; do iscsiadm -m node -p "$portal" --login >/dev/null; done
udevadm settle
setsid multipathd -d -s >/run/rack/multipathd.log 2>&1 </dev/null &
for _ in $(seq 60); do
    [ "$(dmsetup table "$wwid" 2>/dev/null | grep -oE '\b8:[0-9]+' | wc -l)" = 2 ] && exit 0
    sleep 0.5
done
cat /run/rack/multipathd.log
multipath -ll
exit 1
EOF
}

multipathd_down() {
    node_script "$1" <<'EOF' >/dev/null
kill "$(pidof multipathd)"
while pidof multipathd; do sleep 0.2; done
udevadm settle
dmsetup ls --target multipath | while read -r name _; do dmsetup remove --retry "$name"; done
iscsiadm -m node --logout
iscsiadm -m node -o delete
pkill -x iscsid || true
sleep 1
pkill -9 -x iscsid || true
rm -rf /etc/multipath /etc/multipath.conf /var/lib/iscsi /etc/iscsi/nodes /etc/iscsi/send_targets
EOF
}
