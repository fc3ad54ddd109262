# shellcheck shell=bash
# Who is in the lab, on which networks, with which addresses. The inventory (walkthrough.yaml) says the same to the
# programs under test; a lab with more hosts is RACK_STORAGE and RACK_CLIENTS with an inventory that names them.

STORAGE_COUNT=${RACK_STORAGE:-2}
CLIENT_COUNT=${RACK_CLIENTS:-2}
INVENTORY=${RACK_INVENTORY:-$REPO/Tests/RackLab/walkthrough.yaml}

# The networks that faults are made on, and the lab's own way in (`mgmt`), which no fault touches.
NETWORKS=(san0 san1 cluster)

STORAGE_HOSTS=()
CLIENTS=()
for ((index = 0; index < STORAGE_COUNT; index++)); do STORAGE_HOSTS+=("storage$index"); done
for ((index = 0; index < CLIENT_COUNT; index++)); do CLIENTS+=("client$index"); done

is_client() { [[ " ${CLIENTS[*]} " == *" $1 "* ]]; }
is_storage_host() { [[ " ${STORAGE_HOSTS[*]} " == *" $1 "* ]]; }
is_network() { [[ " ${NETWORKS[*]} " == *" $1 "* ]]; }

# networks_of NODE: the networks it has a port on.
networks_of() {
    if is_client "$1"; then
        echo "${NETWORKS[*]} mgmt"
    else
        echo "san0 san1"
    fi
}

# address_of NODE NETWORK: clients are .11, .12, ..., storage hosts .21, .22, ...
address_of() {
    local net base
    case $2 in
        san0) net=10.77.0 ;;
        san1) net=10.77.1 ;;
        cluster) net=10.77.9 ;;
        mgmt) net=10.77.255 ;;
        *) return 1 ;;
    esac
    if is_client "$1"; then base=11; else base=21; fi
    echo "$net.$((base + ${1##*[a-z]}))"
}

# port_of NODE NETWORK: the bridge port (tap or veth) of a node; a device name has room for 15 characters.
port_of() { echo "$1-${2:0:5}"; }

# mac_of NODE NETWORK: locally administered, and the same at every start.
mac_of() {
    local hash
    hash=$(printf '%s %s' "$1" "$2" | md5sum)
    printf '02:%s:%s:%s:%s:%s' "${hash:0:2}" "${hash:2:2}" "${hash:4:2}" "${hash:6:2}" "${hash:8:2}"
}

need_node() {
    is_client "$1" || is_storage_host "$1" ||
        usage_error "no node '$1'; there are: ${STORAGE_HOSTS[*]} ${CLIENTS[*]}"
}

need_network() {
    is_network "$1" || usage_error "no network '$1'; there are: ${NETWORKS[*]}"
}
