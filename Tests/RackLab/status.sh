# shellcheck shell=bash
# What runs and what is broken, as observed.

# process_word NAME: running, stopped or dead.
process_word() {
    local pid
    if ! pid=$(process_of "$1"); then
        echo dead
    elif [[ $(state_of "$pid") == T ]]; then
        echo stopped
    else
        echo running
    fi
}

# status_rows: KIND NAME STATE DETAIL, separated by tabs.
status_rows() {
    local network node name word detail
    for network in "${NETWORKS[@]}"; do
        word=up
        network_is_up "$network" || word="cut"
        printf 'network\t%s\t%s\t%s\n' "$network" "$word" "$(network_prefix "$network")"
    done
    for node in "${STORAGE_HOSTS[@]}"; do
        printf 'host\t%s\t%s\t%s\n' "$node" "$(process_word "$node")" "$(port_words "$node")"
        name=storaged@$node
        detail=
        if pid=$(process_of "$name"); then detail="pid $pid"; fi
        printf 'daemon\t%s\t%s\t%s\n' "$name" "$(process_word "$name")" "$detail"
    done
    for node in "${CLIENTS[@]}"; do
        printf 'client\t%s\t%s\t%s\n' "$node" "$(process_word "$node")" "$(port_words "$node")"
    done
}

network_prefix() {
    local address
    address=$(address_of client0 "$1")
    echo "${address%.*}.0/24"
}

# port_words NODE: its addresses, with what is wrong with the port beside each.
port_words() {
    local network words="" effect
    for network in $(networks_of "$1"); do
        [[ $network == mgmt ]] && continue
        words+="${words:+  }$network $(address_of "$1" "$network")"
        port_is_plugged "$1" "$network" || words+=" CUT"
        effect=$(quality_of "$1" "$network")
        [[ -n $effect ]] && words+=" ${effect^^}"
    done
    echo "$words"
}

status_command() {
    local json=
    case ${1-} in
        --json) json=yes ;;
        '') ;;
        *) usage_error "status [--json]" ;;
    esac
    if ! lab_is_up; then
        if [[ -n $json ]]; then
            jq -n --arg lab "$RACK_LAB" '{schema: "rack.status/1", lab: $lab, state: "down", items: []}'
        else
            echo "lab '$RACK_LAB' is down   next: Tests/rack up"
        fi
        return
    fi
    local rows verdict=up
    rows=$(status_rows)
    if awk -F '\t' '$3 != "up" && $3 != "running" || $4 ~ /CUT|LOSS|DELAY/ { bad = 1 } END { exit !bad }' <<<"$rows"; then
        verdict=faults
    fi
    if [[ -n $json ]]; then
        jq -R -n --arg lab "$RACK_LAB" --arg state "$verdict" \
            '{schema: "rack.status/1", lab: $lab, state: $state,
              items: [inputs | split("\t") | {kind: .[0], name: .[1], state: .[2], detail: .[3]}]}' <<<"$rows"
        return
    fi
    if [[ $verdict == up ]]; then
        echo "lab '$RACK_LAB' is up, no fault active"
    else
        echo "lab '$RACK_LAB' is up, FAULTS ACTIVE   next: Tests/rack fault heal"
    fi
    awk -F '\t' '{ printf "%-8s %-17s %-8s %s\n", $1, $2, $3, $4 }' <<<"$rows"
}
