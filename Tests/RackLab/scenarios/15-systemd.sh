# shellcheck shell=bash
title="systemd: the stack comes up at boot, storaged is a service, power off takes all of it down in order"

scenario() {
    new_volumes
    client_power_off client0
    services_of_client0 >"$STATE/nodes/client0/share/before-systemd"
    local booted
    booted=$(now_ms)
    RACK_CLIENT_INIT=systemd client_power_on client0
    # The cluster needs both; this one is as in every other scenario.
    stack_up client1 | sed -u 's/^/client1: /' &
    client_wait_ready client0
    require "client0 boots with nothing failed, the stack with it" wait_for 150 "client0 to be up" has_booted
    wait
    echo "  client0 was up $(elapsed "$booted") s after its power on"
    check "the file system is mounted on client0" is_mounted client0
    check "and on client1" is_mounted client1
    check "attach status is healthy on client0" attach_on client0 30 status
    check "the daemons are systemd's" node_run client0 systemctl is-active --quiet attach attach-monitor attach-shutdown \
        iscsid corosync dlm lvmlockd
    check "a second up changes nothing" nothing_to_do up

    check "systemd has nothing to say about the units, and found no cycle" units_are_sound
    check "storaged serves over io_uring, as its own user, without a capability" storaged_is_confined
    check "systemd-analyze security: at most 1.1 of 10" exposure_of_storaged 11
    check "systemctl reload serves a volume more" storaged_reloads
    check "a reload of a broken inventory fails, and the service goes on" storaged_keeps_serving
    check "one that stands still is ended by the watchdog and started again" storaged_is_watched
    check "systemctl stop under writes drains, and exits with 0; started again, no write is lost" storaged_stops

    check "a path daemon that is killed is started again" monitor_returns
    # Twice the cluster down and up again: for the long run.
    [[ -z ${RACK_LONG-} ]] || stop_and_up_by_hand
    node_run client0 bash -c 'echo "not an inventory" >>/etc/rack/rack.yaml; setsid sleep 600 >/mnt/held 2>&1 </dev/null &'
    check "power off ends within 120 s, with a file open and rack.yaml broken meanwhile" powers_off 120
    check "no session of client0 is left on the storage hosts" no_session_of client0
    check "client1 saw it leave, and locks go on" node_run client1 timeout 10 sh -c 'ls /mnt >/dev/null && echo more >/mnt/more && sync'
    rm -f "$STATE/nodes/client0/share/before-systemd"
    check "down on client1" stack_down client1
    check "nothing is left on client1" is_clean client1
    client_power_on client0
    client_wait_ready client0
    new_volumes
}

# As the help texts of `storaged unit` and `attach unit` say it. storaged serves a file of this client's own.
services_of_client0() {
    cat <<'END'
mkdir -p /etc/storaged /srv/storage
cat >/etc/storaged/rack.yaml <<'RACK'
rack: rack1
iqn: iqn.2026-01.net.example
networks: [{name: cluster}]
hosts: [{name: client0, portals: [{network: cluster, address: 10.77.9.11}]}]
volumes:
  - {name: v0, size: 64MiB, path: /srv/storage/v0.img, hosts: [client0]}
RACK
storaged unit --user-file | systemd-sysusers -
chown storaged: /srv/storage
storaged unit --rack /etc/storaged/rack.yaml >/etc/systemd/system/storaged.service
mkdir /etc/systemd/system/storaged.service.d
printf '[Service]\nWatchdogSec=3\n' >/etc/systemd/system/storaged.service.d/drill.conf
attach unit >/etc/systemd/system/attach.service
systemctl enable storaged attach
END
}

has_booted() {
    local state
    state=$(NODE_DEADLINE=20 node_run client0 systemctl is-system-running) || true
    case $state in
        running) ;;
        degraded) die "client0: $(node_run client0 systemctl --failed --no-legend --plain)" ;;
        *) return 1 ;;
    esac
}

units_are_sound() {
    node_script client0 <<'END'
systemd-analyze verify --man=no attach.service attach-monitor.service attach-shutdown.service storaged.service
! journalctl --no-pager -b | grep -i 'ordering cycle'
END
}

# The unit's stop leaves nothing, and what is brought up by hand is taken down by a power off as well.
stop_and_up_by_hand() {
    check "systemctl stop attach takes the stack down" attach_stops
    check "nothing is left on client0" is_clean client0
    require "attach up by hand" stack_up client0
    check "attach down by hand" stack_down client0
    check "stops the unit as well" wait_for 10 "attach.service to stop" unit_is client0 attach inactive
    require "so that systemctl start attach brings the stack up again" node_run client0 timeout 200 systemctl start attach
    check "and the file system is mounted" is_mounted client0
}

# unit_is NODE UNIT STATE
unit_is() { equals "state of $2" "$3" "$(node_run "$1" systemctl is-active "$2" || true)"; }

nothing_to_do() {
    local output
    output=$(attach_on client0 100 "$1" --json 2>/dev/null) || true
    echo "$output"
    jq -e '.error == null and (.steps | length == 0)' <<<"$output" >/dev/null
}

storaged_is_confined() {
    node_script client0 <<'END'
pid=$(systemctl show --property MainPID --value storaged)
grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$pid/status"
[[ $(ps -o user= -p "$pid") == storaged ]]
grep -Eq '^CapBnd:\s*0+$' "/proc/$pid/status"
grep -Eq '^NoNewPrivs:\s*1$' "/proc/$pid/status"
grep -Eq '^Seccomp:\s*2$' "/proc/$pid/status"
storaged status --json | tee /dev/stderr | jq -e '.engine == "io_uring"'
systemctl show --property StatusText storaged | grep '1 portal, 1 target'
END
}

# exposure_of_storaged TENTHS
exposure_of_storaged() {
    local text
    text=$(node_run client0 systemd-analyze security --no-pager "--threshold=$1" storaged) || {
        echo "$text"
        return 1
    }
    grep 'Overall exposure' <<<"$text"
    say "  $(grep -o 'Overall exposure.*' <<<"$text")"
}

storaged_reloads() {
    node_script client0 <<'END'
echo '  - {name: v1, size: 64MiB, path: /srv/storage/v1.img, hosts: [client0]}' >>/etc/storaged/rack.yaml
systemctl reload storaged
storaged status | grep ^v1
systemctl show --property StatusText storaged | tee /dev/stderr | grep -q '1 portal, 2 targets'
END
}

storaged_keeps_serving() {
    node_script client0 <<'END'
cp /etc/storaged/rack.yaml /run/rack/good.yaml
echo 'volumes: none' >>/etc/storaged/rack.yaml
! systemctl reload storaged
cp /run/rack/good.yaml /etc/storaged/rack.yaml
[[ $(systemctl is-active storaged) == active ]]
storaged status | grep ^v1
journalctl --no-pager -u storaged | grep 'inventory not applied'
END
}

storaged_is_watched() {
    node_script client0 <<'END'
pid=$(systemctl show --property MainPID --value storaged)
kill -STOP "$pid"
for _ in $(seq 100); do
    sleep 0.2
    now=$(systemctl show --property MainPID --value storaged)
    [[ $now != "$pid" && $now != 0 && $(systemctl is-active storaged) == active ]] && break
done
systemctl show --property MainPID,NRestarts,Result,ActiveState storaged
[[ $(systemctl show --property NRestarts --value storaged) == 1 ]]
journalctl --no-pager -u storaged | grep -i 'watchdog timeout'
storaged status | grep ^v0
END
}

storaged_stops() {
    node_script client0 <<'END'
iqn=iqn.2026-01.net.example:rack1:v0
iscsiadm -m discovery -t st -p 10.77.9.11 >/dev/null
iscsiadm -m node -T "$iqn" --login >/dev/null
udevadm settle
disk=$(basename "$(ls -d /sys/class/iscsi_session/session*/device/target*/*/block/* | while read -r block; do
    grep -qx "$iqn" "${block%/device/*}/targetname" && echo "$block"
done | head -n 1)")
dd if=/dev/urandom of=/run/rack/pattern bs=1M count=16 status=none
dd if=/run/rack/pattern of="/dev/$disk" bs=64k oflag=direct status=none &
sleep 0.3
systemctl stop storaged
systemctl show --property Result,ExecMainStatus,ActiveState storaged | tee /dev/stderr | grep -qx ExecMainStatus=0
journalctl --no-pager -u storaged -o cat | tail -n 20 | tee /dev/stderr | grep -qx stopped
systemctl start storaged
wait %1
cmp -n $((16 << 20)) /run/rack/pattern /srv/storage/v0.img
iscsiadm -m node -T "$iqn" --logout >/dev/null
iscsiadm -m node -T "$iqn" -o delete
iscsiadm -m discoverydb -t st -p 10.77.9.11 -o delete
END
}

monitor_returns() {
    node_script client0 <<'END'
pid=$(systemctl show --property MainPID --value attach-monitor)
# It has told the watchdog that it lives.
[[ $(systemctl show --property NRestarts --value attach-monitor) == 0 ]]
kill -KILL "$pid"
for _ in $(seq 100); do
    sleep 0.2
    attach status >/dev/null && [[ $(systemctl show --property MainPID --value attach-monitor) != "$pid" ]] && exit 0
done
systemctl status --no-pager attach-monitor
exit 1
END
}

attach_stops() {
    node_script client0 <<'END'
timeout 100 systemctl stop attach || echo "exit code $?"
journalctl --no-pager -u attach -o cat | tail -n 12
[[ $(systemctl show --property Result --value attach) == success ]]
END
}

# powers_off SECONDS: and what the console says of it.
powers_off() {
    local began log=$STATE/logs/client0.log lines
    lines=$(wc -l <"$log")
    began=$(now_ms)
    NODE_DEADLINE=20 node_run client0 systemctl poweroff </dev/null || true
    wait_for "$1" "client0 to be off" is_gone client0 || {
        tail -n "+$lines" "$log"
        return 1
    }
    say "  client0 was off $(elapsed "$began") s after systemctl poweroff"
    ssh_close client0
    forget client0
    # systemd itself unmounts what it can, and may be refused: of /mnt because of the open file, which attach then ends, of
    # the lab's own mounts because they are in use to the end.
    ! tail -n "+$lines" "$log" | grep -E 'FAILED|[Tt]imed out' | grep -v 'Failed unmounting'
}

no_session_of() {
    local host output
    for host in "${STORAGE_HOSTS[@]}"; do
        output=$(node_run "$host" storaged status --json)
        jq -e --arg name "$1" '[.. | objects | select(has("initiator")) | .initiator] | all(endswith(":" + $name) | not)' \
            <<<"$output" >/dev/null || {
            echo "$output"
            return 1
        }
    done
}
