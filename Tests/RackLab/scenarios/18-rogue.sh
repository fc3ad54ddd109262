# shellcheck shell=bash
title="a rack with CHAP (SHA3-256, SHA-256, mutual): what a rogue initiator on the network gets, which is nothing"

scenario() {
    chap_begin
    local record=/run/rack/iscsiadm.log before zero one mpath0 mpath2 initiator target isid
    zero=$(initiator_of client0)
    one=$(initiator_of client1)
    mpath0=$(target_of mpath0)
    mpath2=$(target_of mpath2)
    initiator=$(chap_secret client0 initiator)
    target=$(chap_secret client0 target)

    check "attach plan says that CHAP is used" node_script client0 <<'END'
attach plan </dev/null | grep -q 'CHAP, mutual   sha3-256, sha-256; secrets of client0 in /etc/rack/secrets/client0'
END
    node_run client0 mv /etc/rack/secrets/client0 /etc/rack/secrets/away
    check "without its secrets up is refused (exit 18), before the first step" refused_up client0 18 \
        '/etc/rack/secrets/client0: there is no file with the secrets of client0'
    node_run client0 mv /etc/rack/secrets/away /etc/rack/secrets/client0
    node_run client0 chmod 644 /etc/rack/secrets/client0
    check "with secrets that others may read, too" refused_up client0 18 'mode 0644'
    node_run client0 chmod 600 /etc/rack/secrets/client0
    check "nothing was begun" is_clean client0

    watch_commands client0 "$record"
    require "up --volume mpath0 on client0, by CHAP through the kernel initiator" attach_on client0 180 up --volume mpath0
    check "the kernel's sessions have both names, and show the secrets to root alone" kernel_names client0 "$zero" "$mpath0"
    check "iscsiadm shows CHAP, and no secret" iscsiadm_shows_chap client0 "$zero"
    check "storaged: both sessions by CHAP, SHA3-256, mutual" \
        equals "sessions of client0" 2 "$(sessions_of storage0 | grep -c "^$zero .* CHAP SHA3-256 true$")"
    check "attach status says so" node_script client0 <<'END'
attach status >/run/rack/status.txt </dev/null || true
grep -E 'mpath0 .*CHAP, mutual' /run/rack/status.txt
END
    check "the secrets are in their file and in open-iscsi's records of mode 0600, and nowhere else" \
        secrets_are_nowhere client0 "$record" <<<"$initiator"$'\n'"$target"
    unwatch_commands client0
    check "client1 may not have mpath0: an error of the inventory (exit 11)" refused_up client1 11 \
        'mpath0: client client1 may not see this volume' --volume mpath0
    require "up on client1 brings what it may see" attach_on client1 180 up
    check "which is mpath1 and mpath2" equals "maps of client1" "mpath1 mpath2" \
        "$(node_run client1 dmsetup ls --target multipath | cut -f 1 | sort | tr '\n' ' ' | sed 's/ $//')"
    check "attach discover says why it cannot (exit 1)" refused_discover

    local journal=$STATE/logs/stamps-rogue
    rm -f "$journal.end"
    rogue_writer "$journal" &
    require "client0 writes" wait_for 30 "the first writes" test -s "$journal"
    before=$(sessions_of storage0 | grep "^$zero ")
    isid=$(awk 'NR == 1 { print $3 }' <<<"$before" | tr -d ':')
    rogue_up
    local theirs=$RUN/rogue-client0 own=$RUN/rogue-client1 guess=$RUN/rogue-guess
    (umask 077 && chap_secrets_of client0 >"$theirs" && chap_secrets_of client1 >"$own" &&
        printf 'initiator: a-guess-of-the-rogue\ntarget: another-guess-of-it\n' >"$guess")

    check "a name that is not declared" rogue_refused 203 'not among those that may see volume mpath0' \
        --initiator iqn.2026-01.net.example:rogue --secrets "$guess" --target "$mpath0"
    check "and its SendTargets" rogue_refused 201 'no secret for a name like this' \
        --initiator iqn.2026-01.net.example:rogue --secrets "$guess" --send-targets
    check "client0's name with a guessed secret" rogue_refused 201 'does not know the secret' \
        --initiator "$zero" --secrets "$guess" --target "$mpath0"
    check "client0's name with client1's secret" rogue_refused 201 'does not know the secret' \
        --initiator "$zero" --secrets "$own" --target "$mpath0"
    check "client0's name, proving to be client1" rogue_refused 201 'CHAP_N is not the name' \
        --initiator "$zero" --chap-name "$one" --secrets "$own" --target "$mpath0"
    check "client0's name with the secret that targets prove" rogue_refused 201 'does not know the secret' \
        --initiator "$zero" --secrets "$theirs" --swapped --target "$mpath0"
    check "client0's name and ISID with a guessed secret" rogue_refused 201 'does not know the secret' \
        --initiator "$zero" --isid "$isid" --secrets "$guess" --target "$mpath0"
    check "client0's name and ISID without CHAP" rogue_refused 201 'CHAP is required, the initiator offers None' \
        --initiator "$zero" --isid "$isid" --trick none --target "$mpath0"
    check "client0's name and ISID past the security stage" rogue_refused 201 'the initiator passed over authentication' \
        --initiator "$zero" --isid "$isid" --trick skip --target "$mpath0"
    check "and client0's sessions are the ones they were" equals sessions "$before" "$(sessions_of storage0 | grep "^$zero ")"
    check "the response of a recorded login, replayed" rogue_refused 201 'does not know the secret' \
        --initiator "$zero" --secrets "$theirs" --target "$mpath0" --trick replay
    check "the same in a discovery session" rogue_refused 201 'does not know the secret' \
        --initiator "$zero" --secrets "$theirs" --trick replay
    check "the target's challenge, reflected" rogue_refused 201 'reflected' \
        --initiator "$one" --secrets "$own" --target "$mpath2" --trick reflect
    check "the challenge of another connection, reflected" rogue_refused 201 'reflected' \
        --initiator "$one" --secrets "$own" --target "$mpath2" --trick cross-reflect
    check "algorithms that are ruled out (MD5, SHA-1)" rogue_refused 201 'offers CHAP algorithms 5,6' \
        --initiator "$zero" --secrets "$theirs" --target "$mpath0" --algorithms 5,6

    # What client1's own secrets open: its volumes, and no more.
    check "client1's secrets: SendTargets lists mpath2, not mpath0" rogue_gets "TargetName=$mpath2" "$mpath0" \
        --initiator "$one" --secrets "$own" --send-targets
    check "client1's secrets at mpath0" rogue_refused 203 'not among those that may see volume mpath0' \
        --initiator "$one" --secrets "$own" --target "$mpath0"
    check "REPORT LUNS and READ from mpath2: its one unit, and no other" rogue_gets 'units, status 0: 0$' 'unit [1-9].*bytes' \
        --initiator "$one" --secrets "$own" --target "$mpath2" --report-luns --read 0,1,2,255
    check "a read of a unit that is not there is LOGICAL UNIT NOT SUPPORTED" rogue_gets '^unit 1: sense 5/25' '^unit 1: status 0' \
        --initiator "$one" --secrets "$own" --target "$mpath2" --read 1

    check "client0's I/O went on" wait_for 30 "new writes" acknowledged_more "$journal"
    check "storaged counted the refusals, by reason" storaged_counts_refusals
    check "no secret is in storaged's logs" no_secret_in_logs "$initiator" "$target" "$(chap_secret client1 initiator)"
    check "and no write failed" wait_for 150 "the writer's end" writer_ended_well "$journal"
    check "what it wrote is in the file" "$STATE/bin/block-stamp" verify "$STATE/nodes/storage0/volumes/mpath0.img" "$journal"
    check "client0's sessions are still the same" equals sessions "$before" "$(sessions_of storage0 | grep "^$zero ")"
    rm -f "$theirs" "$own" "$guess"
    rogue_down
    check "down on both" on_all_clients stack_down
    check "nothing is left on client0" is_clean client0
    check "nothing is left on client1" is_clean client1
}

# refused_up NODE CODE PATTERN [ARGUMENT...]
refused_up() {
    local node=$1 wanted=$2 pattern=$3 output code=0
    output=$(attach_on "$node" 120 up "${@:4}" 2>&1 >/dev/null) || code=$?
    echo "$output"
    equals "exit code" "$wanted" "$code" && grep -Eq "$pattern" <<<"$output"
}

refused_discover() {
    local output code=0
    output=$(attach_on client1 60 discover "$(address_of storage0 san0)" 2>&1) || code=$?
    echo "$output"
    equals "exit code" 1 "$code" && equals lines 1 "$(wc -l <<<"$output")" &&
        grep -q 'libiscsi, which discovery goes by, knows md5 only; attach plan and attach up need no discovery' <<<"$output"
}

# watch_commands NODE FILE: every iscsiadm writes its arguments and environment there before it runs.
watch_commands() {
    node_script "$1" "$2" <<'END'
program=$(readlink -f /usr/sbin/iscsiadm)
[ -e "$program.real" ] || mv "$program" "$program.real"
cat >"$program" <<WRAPPER
#!/bin/bash
{ printf '%q ' "\$@"; echo; env; } >>"$1"
exec "$program.real" "\$@"
WRAPPER
chmod 755 "$program"
END
}

unwatch_commands() {
    node_script "$1" <<'END'
program=$(readlink -f /usr/sbin/iscsiadm)
mv "$program.real" "$program"
END
}

kernel_names() {
    node_script "$1" "$2" "$3" <<'END'
count=0
for session in /sys/class/iscsi_session/session*; do
    [ "$(cat "$session/username")" = "$1" ]
    [ "$(cat "$session/username_in")" = "$2" ]
    ! setpriv --reuid=65534 --clear-groups --inh-caps=-all --bounding-set=-all cat "$session/password" 2>/dev/null
    count=$((count + 1))
done
[ "$count" = 2 ]
END
}

iscsiadm_shows_chap() {
    node_script "$1" "$2" <<'END'
iscsiadm -m session -P 2 | grep -A 8 'CHAP:' >/run/rack/chap.txt
cat /run/rack/chap.txt
[ "$(grep -c "username: $1" /run/rack/chap.txt)" = 2 ]
grep -q 'password: \*\*\*' /run/rack/chap.txt
[ "$(iscsiadm -m node -o show | grep -c '^node.session.auth.authmethod = CHAP$')" = 2 ]
[ "$(iscsiadm -m node -o show | grep -c '^node.session.auth.chap_algs = SHA3-256,SHA256$')" = 2 ]
END
}

# secrets_are_nowhere NODE FILE <SECRETS: the script gets them by its input, after itself.
secrets_are_nowhere() {
    local secrets
    secrets=$(cat)
    {
        printf 'cat >/run/rack/patterns <<"SECRETS"\n%s\nSECRETS\n' "$secrets"
        cat <<'END'
chmod 600 /run/rack/patterns
[ "$(wc -l </run/rack/patterns)" = 2 ]
[ -s "$1" ]
attach status --json </dev/null >/run/rack/status.json || true
attach plan --json </dev/null >/run/rack/plan.json
dmesg >/run/rack/dmesg.txt
cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >/run/rack/processes 2>/dev/null || true
found=$(grep -rlaF -f /run/rack/patterns /etc /var/lib/attach /run /tmp --exclude-dir=lab --exclude=patterns 2>/dev/null || true)
echo "$found"
rm /run/rack/patterns
[ "$(grep -c . <<<"$found")" = 3 ]
[ "$(grep -c '^/etc/iscsi/nodes/' <<<"$found")" = 2 ]
grep -qx /etc/rack/secrets/client0 <<<"$found"
for file in $found; do [ "$(stat -c %a:%U "$file")" = 600:root ]; done
[ "$(stat -c %a /etc/iscsi/nodes)" = 700 ]
END
    } | node_script "$1" "$2"
}

rogue_writer() {
    local code=0
    node_run client0 /run/rack/lab/bin/block-stamp write /dev/mapper/mpath0 --seconds 100 --workers 4 --blocks 1024 \
        >"$1" 2>"$1.errors" </dev/null || code=$?
    echo "$code" >"$1.end"
}

acknowledged_more() {
    local before
    [[ ! -e $1.end ]] || return 1
    before=$(grep -c '^a' "$1")
    sleep 1
    (($(grep -c '^a' "$1") > before))
}

writer_ended_well() { [[ $(cat "$1.end" 2>/dev/null) == 0 ]]; }

storaged_counts_refusals() {
    local output
    output=$(in_storage storage0 storaged status) || true
    echo "$output"
    grep -qE 'logins refused \(.*[0-9]+ access.*[0-9]+ authentication' <<<"$output"
}

no_secret_in_logs() {
    local secret
    for secret; do
        [[ ${#secret} -ge 12 ]] || return 1
        ! grep -F -- "$secret" "$STATE"/logs/storaged-*.log "$STATE"/logs/client*.log || return 1
    done
}
