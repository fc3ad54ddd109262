# shellcheck shell=bash
title="a portal drained and undrained under a verifying load on GFS2; sg_rtpg and sg_stpg through the kernel initiator"

scenario() {
    require "the stack is up on both clients" on_all_clients stack_up
    require "four paths are active on client0" all_paths_active client0
    load_start client0

    check "storaged drains the portal on san0" drain_says "portal 10.77.0.21:3260 drained"
    check "the kernel has no path of mpath0 over san0 in use" wait_for 60 "three active paths" active_paths 3
    check "attach status says why" status_mentions client0 "drained: "
    check "storaged status says so, and warns" storaged_status_says 1 "drained: portal 10.77.0.21:3260"
    check "the load goes on over san1" load_goes_on 90
    check "draining it again changes nothing" drain_says "portal 10.77.0.21:3260 already drained"

    fault_process kill storaged@storage0
    fault_process start storaged@storage0
    check "a storaged that was killed comes back drained" storaged_status_says 1 "unavailable (drained)"
    check "the other path comes back by itself" wait_for 90 "three active paths" active_paths 3
    check "the load goes on" load_goes_on 90
    check "logins through the drained portal are refused" login_is_refused

    check "storaged undrains it" in_storage storage0 storaged undrain --portal 10.77.0.21
    check "all paths are active again" wait_for 120 "four active paths" on_all_clients all_paths_active
    check "attach status is healthy again" wait_for 60 "a healthy status" attach_on client0 30 status
    check "the load goes on over both" load_goes_on 90

    check "sg_rtpg reads the groups, sg_stpg sets one to standby and back" set_through_the_kernel
    check "all paths are active again" wait_for 90 "four active paths" all_paths_active client0

    check "a portal is made active/non-optimized" \
        in_storage storage0 storaged alua --portal 10.77.0.21 --state non-optimized
    sleep 5
    check "a path that is only not optimized stays in use" all_paths_active client0
    check "optimized again" in_storage storage0 storaged alua --state optimized
    check "the load goes on" load_goes_on 90

    check "the load saw no I/O error and no mismatch" load_end client0 120
    check "the kernel saw none above the paths" kernel_saw_no_error client0
    check "the stack goes down on both clients" on_all_clients stack_down
    check "nothing is left on client0" is_clean client0
}

active_paths() { equals "active paths" "$1" "$(paths_in_state client0 A)"; }

# drain_says WORDS: both clients log out when asked, so none is cut off.
drain_says() {
    local output
    output=$(in_storage storage0 storaged drain --portal 10.77.0.21 2>&1) || return 1
    echo "$output"
    grep -qF "$1" <<<"$output" && ! grep -q 'cut off' <<<"$output"
}

status_mentions() {
    local output
    output=$(attach_on "$1" 30 status) || true
    echo "$output"
    grep -qF "$2" <<<"$output"
}

storaged_status_says() {
    local output code=0
    output=$(in_storage storage0 storaged status) || code=$?
    echo "$output"
    equals "exit code of storaged status" "$1" "$code" && grep -qF "$2" <<<"$output"
}

login_is_refused() { grep -q 'login.*refused.*service unavailable' "$STATE/logs/storaged-storage0.log"; }

# The path of mpath0 over san1 is set to standby by the initiator itself; the monitor takes it out of use, and back.
set_through_the_kernel() {
    node_script client0 <<'END'
set -e
for path in $(ls /sys/block/"$(basename "$(readlink -f /dev/mapper/mpath0)")"/slaves); do
    groups=$(sg_rtpg --decode "/dev/$path")
    echo "$groups"
    [ "$(grep -c 'target port group id' <<<"$groups")" = 2 ]
    sg_rtpg --extended "/dev/$path" >/dev/null
    own=$(sg_vpd --page=di "/dev/$path" | sed -n 's/.*Target port group: //p')
    last=$path
done
sg_inq "/dev/$last" | grep -q 'TPGS=3'
group=$(printf '%d' "$own")
sg_stpg --tp="$group" --state=s "/dev/$last"
sg_rtpg --decode "/dev/$last" | grep -q 'standby'
# attach status warns with its exit code.
for _ in $(seq 30); do
    status=$(attach status || true)
    grep -q 'ALUA standby' <<<"$status" && break
    sleep 1
done
echo "$status"
grep -q 'ALUA standby' <<<"$status"
sg_stpg --tp="$group" --state=ao "/dev/$last"
groups=$(sg_rtpg --decode "/dev/$last")
[ "$(grep -c 'active/optimized' <<<"$groups")" = 2 ]
END
}
