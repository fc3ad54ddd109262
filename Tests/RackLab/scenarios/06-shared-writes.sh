# shellcheck shell=bash
title="both clients write their own files and one shared file; checksums agree after a remount"

scenario() {
    require "the stack is up on both clients" on_all_clients stack_up
    node_run client0 bash -c 'rm -rf /mnt/writes; mkdir /mnt/writes; truncate -s 32M /mnt/writes/shared'
    check "both write at the same time" on_all_clients write_files
    local before0 before1 after0 after1
    before0=$(checksums client0)
    before1=$(checksums client1)
    sed 's/^/        /' <<<"$before0"
    check "nine files are there" equals files 9 "$(wc -l <<<"$before0")"
    check "both clients read the same" equals checksums "$before0" "$before1"
    check "the shared file is what the two wrote" shared_is_complete client0
    check "down on both" on_all_clients stack_down
    check "up on both" on_all_clients stack_up
    after0=$(checksums client0)
    after1=$(checksums client1)
    check "client0 reads the same after the remount" equals checksums "$before0" "$after0"
    check "client1 reads the same after the remount" equals checksums "$before0" "$after1"
    check "down on both, for good" on_all_clients stack_down
    check "nothing is left on client0" is_clean client0
    check "nothing is left on client1" is_clean client1
}

# Four files of 4 MiB of its own, and every other MiB of the shared file: client0 the even ones, client1 the odd ones.
# The node's number is in every byte of its part.
write_files() {
    node_script "$1" "${1##*[a-z]}" <<'END'
cd /mnt/writes
for file in 0 1 2 3; do
    dd if=/dev/urandom of="own-$1-$file" bs=1M count=4 conv=fsync status=none
done
head -c 1M /dev/zero | tr '\0' "$1" >/run/rack/part
for ((block = $1; block < 32; block += 2)); do
    dd if=/run/rack/part of=shared bs=1M seek="$block" count=1 conv=notrunc,fsync status=none
done
END
}

checksums() { node_run "$1" bash -c 'cd /mnt/writes && sha256sum *'; }

shared_is_complete() {
    local found wanted
    found=$(node_run "$1" sha256sum /mnt/writes/shared | cut -d ' ' -f 1)
    wanted=$(for ((block = 0; block < 32; block++)); do head -c 1M /dev/zero | tr '\0' $((block % 2)); done | sha256sum | cut -d ' ' -f 1)
    equals "checksum of the shared file" "$wanted" "$found"
}
