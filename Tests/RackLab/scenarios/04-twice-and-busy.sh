# shellcheck shell=bash
title="up twice, down twice, down with a file held open"

scenario() {
    require "the stack is up on both clients" on_all_clients stack_up
    local before after
    before=$(fingerprint client0)
    check "a second up ends well" stack_up client0
    after=$(fingerprint client0)
    check "and changes nothing: same maps, sessions, processes, mount" equals state "$before" "$after"

    local holder
    holder=$(node_run client0 bash -c 'echo kept >/mnt/held; setsid sleep 600 </mnt/held >/dev/null 2>&1 & echo $!')
    check "down with a file held open is refused, and names the holder" down_names_holder "$holder"
    check "nothing is torn: same maps, sessions, mount" equals state "$before" "$(fingerprint client0)"
    check "the file is still read" node_run client0 grep -q kept /mnt/held
    check "and the file system still written" node_run client0 sh -c 'echo more >>/mnt/held && sync'
    node_run client0 kill "$holder"

    check "down ends well once nothing holds it" stack_down client0
    check "nothing is left on client0" is_clean client0
    check "a second down ends well" stack_down client0
    check "client1 never noticed" node_run client1 grep -q more /mnt/held
    check "down on client1" stack_down client1
    check "nothing is left on client1" is_clean client1
}

# Everything that `up` makes, with the ids that would change if it were made again.
fingerprint() {
    node_script "$1" <<'END'
dmsetup info -c --noheadings -o name,uuid,major,minor,open | sort
ls /sys/class/iscsi_session
pgrep -la '^(iscsid|corosync|dlm_controld|lvmlockd|attach)$' | sort
findmnt -n -o SOURCE,TARGET,FSTYPE,OPTIONS -t gfs2
END
}

down_names_holder() {
    local output code=0
    output=$(stack_down client0 240 2>&1) || code=$?
    echo "$output"
    ((code != 0)) || {
        echo "it was not refused"
        return 1
    }
    grep -qw "$1" <<<"$output"
}
