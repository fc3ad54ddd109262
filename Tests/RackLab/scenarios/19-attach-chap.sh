# shellcheck shell=bash
title="CHAP with each algorithm through open-iscsi, targets that do not prove themselves, changed secrets, libiscsi"

scenario() {
    chap_begin
    local one mpath1 algorithm manner host
    one=$(initiator_of client1)
    mpath1=$(target_of mpath1)

    for algorithm in "sha3-256 SHA3-256" "sha-256 SHA-256" "sha-1 SHA-1" "md5 MD5"; do
        chap_again "algorithms: [${algorithm% *}]" >/dev/null
        check "client1 logs in with ${algorithm#* } alone" attach_on client1 180 up --volume mpath1
        check "and storaged says so" equals "sessions with ${algorithm#* }" 2 \
            "$(sessions_of storage1 | grep -c "^$one .* CHAP ${algorithm#* } true$")"
        check "down" stack_down client1
    done
    check "attach discover works where md5 is allowed" discover_finds client1 "$mpath1"
    check "libiscsi's iscsi-ls finds the volume with the secrets" iscsi_ls client1 initiator "$mpath1"
    check "and nothing with other ones" fails iscsi_ls client1 target "$mpath1"
    chap_again "mutual: false" >/dev/null
    check "one-way CHAP" attach_on client1 180 up --volume mpath1
    check "and storaged says so" equals "sessions one way" 2 \
        "$(sessions_of storage1 | grep -c "^$one .* CHAP SHA3-256 false$")"
    check "down" stack_down client1

    # Secrets that differ on the two ends.
    chap_again >/dev/null
    node_run client1 sed -i 's/^initiator: .*/initiator: not-what-storaged-has/' /etc/rack/secrets/client1
    check "a wrong secret: refused, with portal and what to do (exit 16)" refused_login client1 \
        'storage1 10.77.0.22:3260: login to mpath1 failed: the target refused the credentials of client1, or did not prove its own secret; compare /etc/rack/secrets/client1 here and on storage1'
    check "the log of storaged says why" grep -q 'does not know the secret' "$STATE/logs/storaged-storage1.log"
    check "no session and no record is left, and nothing after down" down_and_clean client1
    chap_copy_secrets client1
    node_run client1 sed -i 's/^target: .*/target: not-what-storaged-has/' /etc/rack/secrets/client1
    check "a target that proves something else: not logged in to" refused_login client1 'did not prove its own secret'
    check "no session and no record is left, and nothing after down" down_and_clean client1
    chap_copy_secrets client1

    # A target in storage1's place that gets by without its secret.
    fault_process kill storaged@storage1
    for manner in none silent unproven wrong; do
        false_target "$manner" "$mpath1"
        check "a target that proves nothing ($manner): not logged in to" refused_login client1 'login to mpath1 failed'
        check "no session was made with it" false_target_got_nothing "$manner"
        false_target_end
    done
    check "no session and no record is left, and nothing after down" down_and_clean client1
    storaged_up storage1

    # New secrets while one portal is away: what is up stays up, what comes back proves the new one.
    fault_cut client1 san1
    check "up over one network" attach_on client1 180 up --volume mpath1
    in_storage storage0 storaged secret client1 --replace
    chap_copy_secrets client1
    for host in "${STORAGE_HOSTS[@]}"; do in_storage "$host" storaged reload; done
    check "with new secrets up changes nothing on san0" attach_on client1 180 up --volume mpath1
    check "the map works" node_run client1 dd if=/dev/zero of=/dev/mapper/mpath1 bs=4096 count=1 oflag=direct status=none
    fault_heal client1 san1
    check "the monitor logs in over san1 with the new ones" wait_for 120 "the second path" active_paths 2
    # The other session is of before. Once it is lost, iscsid would try the old secrets for ever.
    fault_cut client1 san0
    check "the session of before is lost" wait_for 60 "one path" active_paths 1
    fault_heal client1 san0
    check "the monitor brings it back with the new ones" wait_for 120 "the second path" active_paths 2
    check "I/O goes on over both" node_run client1 dd if=/dev/zero of=/dev/mapper/mpath1 bs=1M count=8 oflag=direct status=none
    check "down" stack_down client1
    check "nothing is left on client1" is_clean client1
}

active_paths() { equals "active paths" "$1" "$(paths_in_state client1 A)"; }

down_and_clean() {
    node_script "$1" <<'END'
[ -z "$(ls /sys/class/iscsi_session)" ]
[ -z "$(find /etc/iscsi/nodes -type f 2>/dev/null)" ]
END
    stack_down "$1" && is_clean "$1"
}

fails() { ! "$@"; }

refused_login() {
    local output code=0
    output=$(attach_on "$1" 180 up --volume mpath1 2>&1) || code=$?
    echo "$output"
    equals "exit code" 16 "$code" && grep -qF -- "$2" <<<"$output"
}

discover_finds() {
    local output
    output=$(attach_on "$1" 60 discover "$(address_of storage1 san0)" 2>&1) || return 1
    echo "$output"
    grep -q "$2" <<<"$output"
}

# iscsi_ls CLIENT initiator|target TARGET: with that line of its secrets; iscsi-ls takes them from its environment.
iscsi_ls() {
    node_script "$1" "$2" "$3" "$(initiator_of "$1")" "$(address_of storage1 san0)" <<'END'
export LIBISCSI_CHAP_USERNAME=$3
LIBISCSI_CHAP_PASSWORD=$(sed -n "s/^$1: //p" /etc/rack/secrets/$(hostname))
export LIBISCSI_CHAP_PASSWORD
iscsi-ls -i "$3" "iscsi://$4/" >/run/rack/iscsi-ls.txt 2>&1
cat /run/rack/iscsi-ls.txt
grep -q "$2" /run/rack/iscsi-ls.txt
END
}

false_target() {
    local log=$STATE/logs/false-target-$1.log
    ip netns exec "$LAB_SPACE-storage1" "$STATE/bin/rogue" target --manner "$1" --name "$2" >"$log" 2>&1 </dev/null &
    remember false-target $!
    disown $!
    wait_for 10 "the false target" grep -q listening "$log"
}

false_target_got_nothing() {
    local log=$STATE/logs/false-target-$1.log
    cat "$log"
    # It was tried, and let in by nobody.
    (($(wc -l <"$log") > 1)) && ! grep -q SESSION "$log"
}

false_target_end() {
    local pid
    pid=$(process_of false-target) || return 0
    kill -KILL "$pid"
    wait_for 10 "the false target to end" is_pid_gone "$pid"
    forget false-target
}
