# shellcheck shell=bash
title="the monitor is killed and every network cut: the kernel ends queueing by itself, and down leaves nothing"

scenario() {
    new_volumes
    # The shortest window: the kernel ends queueing half a minute after the monitor would have.
    node_script client0 <<'END'
sed -i 's/^ *hosts: \[storage.\]$/&\n    multipath: {queueSeconds: 2}/' /etc/rack/rack.yaml
echo 'timeouts: {nopInterval: 1, nopTimeout: 2, recovery: 2}' >>/etc/rack/rack.yaml
END
    require "the map of mpath0 is up on client0" attach_on client0 120 up --volume mpath0
    check "the kernel has a bound of its own: 32 s" \
        node_run client0 grep -qx 32 /sys/module/dm_multipath/parameters/queue_if_no_path_timeout_secs
    node_run client0 pkill -KILL -x attach
    check "attach status says that the monitor does not run, and what to type" status_names_monitor
    fault_cut san0
    fault_cut san1
    # 5 s until the sessions are given up, 32 s of queueing, and some for a busy machine.
    check "a write fails with an I/O error, after at least 32 s and within 60 s" fails_within 32 60
    check "and the next one at once" fails_within 0 10
    check "attach status answers in time: down, all paths failed" status_is_down
    check "down ends well with every network still cut" attach_on client0 150 down
    check "nothing waits in the kernel" nothing_waits
    check "nothing is left on client0" is_clean client0
    fault_heal
    node_run client0 cp /run/rack/lab/nodes/client0/rack.yaml /etc/rack/rack.yaml
    new_volumes
}

status_names_monitor() {
    local output code=0
    output=$(attach_on client0 30 status 2>&1) || code=$?
    echo "$output"
    grep -q '^monitor .*not running' <<<"$output" && grep -q 'next: attach up' <<<"$output" && ((code != 0))
}

# fails_within LEAST MOST: seconds until a direct write to the map fails.
fails_within() {
    NODE_DEADLINE=120 node_script client0 "$1" "$2" <<'END'
began=$(date +%s%N)
output=$(LC_ALL=C timeout 100 dd if=/dev/zero of=/dev/mapper/mpath0 bs=4096 count=1 oflag=direct 2>&1) && exit 1
spent=$((($(date +%s%N) - began) / 1000000))
echo "$output after $spent ms"
grep -q 'Input/output error' <<<"$output"
((spent >= $1 * 1000 && spent <= $2 * 1000))
END
}

status_is_down() {
    local output code=0
    output=$(attach_on client0 30 status 2>&1) || code=$?
    echo "$output"
    equals "exit code of attach status" 2 "$code"
}

nothing_waits() {
    node_script client0 <<'END'
# A D of an instant is none: the same process must be in it three times, half a second apart.
found=$(ps -eo pid=,stat= | awk '$2 ~ /^D/ { print $1 }')
for _ in 1 2; do
    sleep 0.5
    found=$(for pid in $found; do ps -o pid=,stat= -p "$pid" || true; done | awk '$2 ~ /^D/ { print $1 }')
done
for pid in $found; do
    ps -o pid,stat,wchan:32,args -p "$pid"
done
[[ -z $found ]]
END
}
