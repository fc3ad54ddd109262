# shellcheck shell=bash
# A rack whose initiators prove who they are: the inventory and the secrets on every node, and a rogue on san0.

# The rack of the scenarios about authentication: no cluster, one volume for client0 alone, two for both.
# chap_inventory [AUTHENTICATION]: what follows `method: chap` in the braces.
chap_inventory() {
    cat <<END
rack: rack1
iqn: iqn.2026-01.net.example
networks: [{name: san0}, {name: san1}]
hosts:
  - name: storage0
    portals: [{network: san0, address: $(address_of storage0 san0)}, {network: san1, address: $(address_of storage0 san1)}]
  - name: storage1
    portals: [{network: san0, address: $(address_of storage1 san0)}, {network: san1, address: $(address_of storage1 san1)}]
clients:
  - {name: client0, address: 10.77.9.11, nodeID: 1}
  - {name: client1, address: 10.77.9.12, nodeID: 2}
volumes:
  - {name: mpath0, size: 256MiB, path: /srv/storage/mpath0.img, hosts: [storage0], clients: [client0]}
  - {name: mpath1, size: 64MiB, path: /srv/storage/mpath1.img, hosts: [storage1]}
  - {name: mpath2, size: 64MiB, path: /srv/storage/mpath2.img, hosts: [storage0]}
authentication: {method: chap${1:+, $1}}
END
}

# chap_begin: the inventory on every node, fresh secrets where they belong, the daemons started anew; undone at the end of
# the scenario, however it ends.
chap_begin() {
    trap chap_end EXIT
    chap_stop_daemons
    chap_inventory "$@" | chap_put_inventory
    chap_make_secrets
    chap_start_daemons
}

# chap_again [AUTHENTICATION]: other settings, the same secrets.
chap_again() {
    chap_inventory "$@" | chap_put_inventory
    local host
    for host in "${STORAGE_HOSTS[@]}"; do in_storage "$host" storaged reload; done
}

chap_put_inventory() {
    local node text
    text=$(cat)
    for node in "${STORAGE_HOSTS[@]}"; do in_storage "$node" tee /etc/rack/rack.yaml <<<"$text" >/dev/null; done
    for node in "${CLIENTS[@]}"; do
        is_running "$node" || continue
        node_run "$node" tee /etc/rack/rack.yaml <<<"$text" >/dev/null
    done
}

# Made on storage0 by storaged; the other storage host needs all of them, a client its own.
chap_make_secrets() {
    local client
    in_storage storage0 storaged secret --all
    for client in "${CLIENTS[@]}"; do chap_copy_secrets "$client"; done
}

# chap_copy_secrets CLIENT: from storage0 to where they are needed, never by way of an argument.
chap_copy_secrets() {
    local host
    for host in "${STORAGE_HOSTS[@]}"; do
        [[ $host == storage0 ]] || chap_secrets_of "$1" | in_storage "$host" bash -c "$CHAP_PUT" put "$1"
    done
    chap_secrets_of "$1" | node_run "$1" bash -c "$CHAP_PUT" put "$1"
}

# shellcheck disable=SC2016 # expanded on the node
CHAP_PUT='umask 077; mkdir -p /etc/rack/secrets; cat >"/etc/rack/secrets/$1"'

chap_secrets_of() { in_storage storage0 cat "/etc/rack/secrets/$1"; }

# chap_secret CLIENT initiator|target
chap_secret() { chap_secrets_of "$1" | sed -n "s/^$2: //p"; }

chap_stop_daemons() {
    local host
    for host in "${STORAGE_HOSTS[@]}"; do
        is_running "storaged@$host" && fault_process kill "storaged@$host"
        rm -f "$STATE/nodes/$host/volumes/"*
    done
}

chap_start_daemons() {
    local host
    for host in "${STORAGE_HOSTS[@]}"; do storaged_up "$host"; done
}

chap_end() {
    trap - EXIT ERR
    set +e
    local node
    rogue_down
    for node in "${CLIENTS[@]}"; do
        is_running "$node" && ! is_clean "$node" >/dev/null 2>&1 || continue
        node_run "$node" pkill -x block-stamp
        stack_down "$node" 120 >/dev/null 2>&1
    done
    chap_stop_daemons
    chap_put_inventory <"$INVENTORY"
    for node in "${STORAGE_HOSTS[@]}"; do in_storage "$node" rm -rf /etc/rack/secrets; done
    for node in "${CLIENTS[@]}"; do is_running "$node" && node_run "$node" rm -rf /etc/rack/secrets; done
    chap_start_daemons
}

# target_of VOLUME, initiator_of CLIENT: their iSCSI names, as the inventory derives them.
target_of() { chap_identifier "volume $1" target; }
initiator_of() { chap_identifier "client $1" initiator; }

chap_identifier() {
    node_run client0 attach plan --json </dev/null |
        jq -er --arg object "$1" --arg kind "$2" '.identifiers[] | select(.object == $object and .kind == $kind).value'
}

# sessions_of HOST: initiator, portal, ISID, TSIH and how it was authenticated, a line each.
sessions_of() {
    in_storage "$1" storaged status --json |
        jq -r '.. | objects | select(has("isid")) |
            [.initiator, .portal, .isid, (.tsih | tostring), (.authentication // {} | .method, .algorithm, .mutual | tostring)] | join(" ")'
}

# The rogue: a machine of its own on san0, with an address of its own for every try, because one that fails too often is
# not listened to any more.
ROGUE_SPACE=$LAB_SPACE-rogue
ROGUE_LAST=$RUN/rogue-address

rogue_up() {
    export -f plain_frames
    ip netns add "$ROGUE_SPACE"
    ip -n "$ROGUE_SPACE" link set lo up
    in_fabric ip link add rogue-san0 type veth peer name san0 netns "$ROGUE_SPACE"
    attach_port rogue-san0 san0
    ip netns exec "$ROGUE_SPACE" bash -c "plain_frames san0"
    ip -n "$ROGUE_SPACE" link set san0 up
    echo 100 >"$ROGUE_LAST"
}

rogue_down() {
    [[ -e /run/netns/$ROGUE_SPACE ]] || return 0
    wait_for 10 "the rogue to end" kill_all_in "$ROGUE_SPACE"
    ip netns delete "$ROGUE_SPACE"
}

# rogue ARGUMENT...: `rogue try` at storage0 from a new address.
rogue() {
    local last
    last=$(($(cat "$ROGUE_LAST") + 1))
    echo "$last" >"$ROGUE_LAST"
    ip -n "$ROGUE_SPACE" addr flush dev san0
    ip -n "$ROGUE_SPACE" addr add "10.77.0.$last/24" dev san0
    ip netns exec "$ROGUE_SPACE" "$STATE/bin/rogue" try "$(address_of storage0 san0)" "$@"
}

# rogue_refused STATUS LOGGED ARGUMENT...: the try is refused with that status, and storaged's log says why.
rogue_refused() {
    local status=$1 logged=$2 lines output code=0
    shift 2
    lines=$(wc -l <"$STATE/logs/storaged-storage0.log")
    output=$(rogue "$@" 2>&1) || code=$?
    echo "$output"
    equals "exit code of the rogue" 3 "$code" || return 1
    grep -q "^refused 0$status " <<<"$output" || return 1
    sleep 0.3
    tail -n "+$((lines + 1))" "$STATE/logs/storaged-storage0.log" >"$RUN/rogue-log"
    cat "$RUN/rogue-log"
    grep -qE "$logged" "$RUN/rogue-log"
}

# rogue_gets WANTED UNWANTED ARGUMENT...: it gets in, and its output has the one and not the other.
rogue_gets() {
    local wanted=$1 unwanted=$2 output
    shift 2
    output=$(rogue "$@" 2>&1) || return 1
    echo "$output"
    grep -qE "$wanted" <<<"$output" && ! grep -qE "$unwanted" <<<"$output"
}
