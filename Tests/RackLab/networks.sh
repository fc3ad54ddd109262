# shellcheck shell=bash
# The lab's networks: one namespace holds a bridge for each network; every node has a port of its own on each.
# Nothing of it is reachable from the machine's own network namespace, and it all ends with the namespace.

# Segmentation and checksum offload must be off on all of them: a frame larger than the MTU that one virtual device
# hands to the next is not split by anybody, and large transfers stall.
plain_frames() { ethtool -K "$1" tso off gso off gro off tx off sg off >/dev/null 2>&1 || true; }

networks_up() {
    ip netns add "$FABRIC"
    in_fabric ip link set lo up
    local network
    for network in "${NETWORKS[@]}" mgmt; do
        in_fabric ip link add "$network" type bridge stp_state 0 forward_delay 0 mcast_snooping 0
        export -f plain_frames
        in_fabric bash -c "plain_frames $network"
        in_fabric ip link set "$network" up
    done
    in_fabric ip addr add 10.77.255.1/24 dev mgmt
}

# attach_port DEVICE NETWORK: the last steps for a new tap or veth end.
attach_port() {
    in_fabric bash -c "plain_frames $1"
    in_fabric ip link set "$1" master "$2" up
}

# tap_up NODE NETWORK
tap_up() {
    local port
    port=$(port_of "$1" "$2")
    in_fabric ip tuntap add dev "$port" mode tap
    attach_port "$port" "$2"
}

# veth_up NODE NETWORK: one end on the bridge, the other in the node's namespace under the network's name.
veth_up() {
    local port space=$LAB_SPACE-$1
    port=$(port_of "$1" "$2")
    in_fabric ip link add "$port" type veth peer name "$2" netns "$space" address "$(mac_of "$1" "$2")"
    attach_port "$port" "$2"
    ip netns exec "$space" bash -c "plain_frames $2"
    ip -n "$space" addr add "$(address_of "$1" "$2")/24" dev "$2"
    ip -n "$space" link set "$2" up
}

# port_exists NODE NETWORK, port_is_plugged NODE NETWORK: whether the port is there; whether it is on its bridge.
port_exists() { in_fabric test -e "/sys/class/net/$(port_of "$1" "$2")"; }
port_is_plugged() { in_fabric test -e "/sys/class/net/$(port_of "$1" "$2")/master"; }

# network_is_up NETWORK: whether the bridge forwards.
network_is_up() { [[ $(ip -n "$FABRIC" -o link show dev "$1" 2>/dev/null) =~ \<[^\>]*UP[^\>]*\> ]]; }
