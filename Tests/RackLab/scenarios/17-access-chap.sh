# shellcheck shell=bash
title="Access and CHAP with the kernel's initiator: every algorithm, mutual, in discovery too; a stranger gets nothing"

prefix=iqn.2026-01.net.example:rack1
target=$prefix:mpath0

scenario() {
    local algorithm portal
    portal=$(address_of storage0 san0)
    check "a stranger's discovery shows no target" shows_nothing "$portal"
    check "and its login to one that it knows is refused" refused "$portal" "$prefix:stranger" - - - -
    check "which storaged logs with its reason" logged "it is not among those that may see volume mpath0"

    require "storage0 asks for CHAP after a reload" asks_for_chap
    for algorithm in SHA3-256 SHA256 SHA1 MD5; do
        check "client0 proves who it is by $algorithm, storage0 too, in discovery and to the target" \
            reads "$portal" "$algorithm" "$(secret client0 initiator)" "$(secret client0 target)"
    done
    check "storaged says how" logged "initiator logged in (CHAP, SHA3-256, mutual)"
    check "without CHAP it gets nothing" refused "$portal" "$prefix:client:client0" - - - -
    check "nor with another secret" refused "$portal" "$prefix:client:client0" "$prefix:client:client0" \
        not-the-secret-of-it "$target" "$(secret client0 target)"
    check "nor as client1 with its own secret" refused "$portal" "$prefix:client:client1" "$prefix:client:client1" \
        "$(secret client0 initiator)" "$target" "$(secret client0 target)"
    check "nor as client1 that proves to be client0" refused "$portal" "$prefix:client:client1" \
        "$prefix:client:client0" "$(secret client0 initiator)" "$target" "$(secret client0 target)"
    check "and a target that does not know its secret is refused by the client" refused "$portal" \
        "$prefix:client:client0" "$prefix:client:client0" "$(secret client0 initiator)" "$target" not-the-secret-of-it
    check "storaged's log has the reasons" logged "the response is wrong: it does not know the secret of its name"
    check "and this one" logged "CHAP_N is not the name it logs in with"
    check "no secret is in its log or status" no_secret_shows
    check "storage0 asks for none after another reload" asks_for_none
}

asks_for_chap() {
    node_script storage0 <<'EOF'
echo 'authentication: {algorithms: [sha3-256, sha-256, sha-1, md5]}' >>/etc/rack/rack.yaml
storaged secret --all
storaged reload
EOF
}

asks_for_none() {
    node_script storage0 <<'EOF'
sed -i '/^authentication:/d' /etc/rack/rack.yaml
rm -r /etc/rack/secrets
storaged reload
EOF
}

# secret CLIENT initiator|target
secret() { node_run storage0 sed -n "s/^$2: //p" "/etc/rack/secrets/$1"; }

logged() { wait_for 10 "a line in storaged's log" grep -qF -- "$1" "$STATE/logs/storaged-storage0.log"; }

no_secret_shows() {
    local client kind status
    status=$(node_run storage0 storaged status --json)
    for client in client0 client1; do
        for kind in initiator target; do
            ! grep -qF -- "$(secret "$client" "$kind")" "$STATE/logs/storaged-storage0.log" - <<<"$status" || return 1
        done
    done
}

# On client0, iscsid anew under a name.
under_name() {
    node_script client0 "$1" <<'EOF'
modprobe iscsi_tcp
echo "InitiatorName=$1" >/etc/iscsi/initiatorname.iscsi
! pidof iscsid >/dev/null || iscsiadm -k 0
for _ in $(seq 50); do pidof iscsid >/dev/null || break; sleep 0.1; done
rm -rf /etc/iscsi/nodes /etc/iscsi/send_targets /var/lib/iscsi/nodes /var/lib/iscsi/send_targets
iscsid
EOF
}

shows_nothing() {
    under_name "$prefix:stranger"
    node_script client0 "$1" <<'EOF'
code=0
iscsiadm -m discovery -t sendtargets -p "$1" || code=$?
# ISCSI_ERR_NO_OBJS_FOUND
[ "$code" = 21 ]
EOF
}

# refused PORTAL NAME USER PASSWORD USER-IN PASSWORD-IN: a login under that name comes to nothing; `-` for no CHAP.
refused() {
    under_name "$2"
    node_script client0 "$1" "$target" "${@:3}" <<'EOF'
record() { iscsiadm -m node -T "$2" -p "$1" "${@:3}"; }
record "$1" "$2" -o new >/dev/null
record "$1" "$2" -o update -n node.session.initial_login_retry_max -v 1
if [ "$3" != - ]; then
    set_key() { record "$portal" "$target" -o update -n "node.session.auth.$1" -v "$2"; }
    portal=$1 target=$2
    set_key authmethod CHAP
    set_key username "$3"
    set_key password "$4"
    set_key username_in "$5"
    set_key password_in "$6"
    set_key chap_algs SHA256
fi
code=0
record "$1" "$2" --login || code=$?
[ "$code" != 0 ]
! ls /sys/block | grep '^sd'
EOF
}

# reads PORTAL ALGORITHM PASSWORD PASSWORD-IN: discovery, login, a read, logout.
reads() {
    under_name "$prefix:client:client0"
    node_script client0 "$1" "$target" "$2" "$prefix:client:client0" "$3" "$prefix" "$4" <<'EOF'
portal=$1 target=$2 algorithm=$3 me=$4 own=$5 rack=$6 theirs=$7
iscsiadm -m discoverydb -t sendtargets -p "$portal" -o new >/dev/null
in_discovery() {
    iscsiadm -m discoverydb -t sendtargets -p "$portal" -o update -n "discovery.sendtargets.auth.$1" -v "$2"
}
in_discovery authmethod CHAP
in_discovery username "$me"
in_discovery password "$own"
in_discovery username_in "$rack"
in_discovery password_in "$theirs"
iscsiadm -m discoverydb -t sendtargets -p "$portal" --discover | grep -q "$target"
in_node() { iscsiadm -m node -T "$target" -p "$portal" -o update -n "node.session.auth.$1" -v "$2"; }
in_node authmethod CHAP
in_node username "$me"
in_node password "$own"
in_node username_in "$target"
in_node password_in "$theirs"
in_node chap_algs "$algorithm"
iscsiadm -m node -T "$target" -p "$portal" --login
for _ in $(seq 100); do
    disk=$(ls /sys/block | grep '^sd') && [ -b "/dev/$disk" ] && break
    sleep 0.1
done
dd if="/dev/$disk" of=/dev/null bs=4096 count=16 iflag=direct status=none
iscsiadm -m node -T "$target" -p "$portal" --logout
EOF
}
