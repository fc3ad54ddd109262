# shellcheck shell=bash
title="sg3_utils through the kernel initiator: reservations, COMPARE AND WRITE, EXTENDED COPY, UNMAP, SANITIZE"

scenario() {
    new_volumes
    require "the map of mpath0 is up on client0" attach_on client0 120 up --volume mpath0
    local path
    path=$(node_script client0 <<'EOF'
ls "/sys/block/$(basename "$(readlink -f /dev/mapper/mpath0)")/slaves" | head -n 1
EOF
    )
    path=/dev/$path
    check "sg_vpd reads every page that page 00h lists" node_script client0 "$path" <<'EOF'
pages=$(sg_vpd --raw --page=0 "$1" | od -An -tx1 -v | tr ' ' '\n' | grep -E '^..$' | tail -n +5)
[ "$(wc -w <<<"$pages")" -ge 6 ]
for page in $pages; do sg_vpd --page="0x$page" "$1" >/dev/null || sg_vpd --hex --page="0x$page" "$1" >/dev/null; done
EOF
    check "sg_opcodes names what follows" node_script client0 "$path" <<'EOF'
list=$(sg_opcodes "$1")
for name in 'Compare and write' 'Extended copy' 'Persistent reserve out, Preempt and abort' 'Report target port groups' \
    'Set target port groups' 'Sanitize, block erase' 'Unmap' 'Write same(16)'; do
    grep -qi "$name" <<<"$list" || { echo "not listed: $name"; echo "$list"; exit 1; }
done
EOF
    check "sg_persist registers, reserves, reads, clears" node_script client0 "$path" <<'EOF'
sg_persist -n -o -G -S 0xabc "$1"
sg_persist -n -o -R -T 5 -K 0xabc "$1"
sg_persist -n -i -s "$1" | grep -q 'Write Exclusive, registrants only'
sg_persist -n -i -c "$1" | grep -q 'Persist Through Power Loss Capable(PTPL_C): 1'
sg_persist -n -o -C -K 0xabc "$1"
sg_persist -n -i -k "$1" | grep -q 'NO registered reservation keys'
EOF
    check "sg_compare_and_write writes where the blocks are as expected" node_script client0 "$path" <<'EOF'
head -c 512 /dev/zero >/run/rack/caw
head -c 512 /dev/urandom >/run/rack/new
cat /run/rack/new >>/run/rack/caw
sg_compare_and_write --in=/run/rack/caw --lba=64 --num=1 --xferlen=1024 "$1"
dd if="$1" bs=512 skip=64 count=1 iflag=direct status=none | cmp - /run/rack/new
EOF
    check "and says MISCOMPARE where they are not (exit 14)" node_script client0 "$path" <<'EOF'
code=0
sg_compare_and_write --in=/run/rack/caw --lba=64 --num=1 --xferlen=1024 "$1" || code=$?
[ "$code" = 14 ]
dd if="$1" bs=512 skip=64 count=1 iflag=direct status=none | cmp - /run/rack/new
EOF
    check "sg_xcopy has the target copy 1 MiB within the unit" node_script client0 "$path" <<'EOF'
dd if=/dev/urandom of="$1" bs=1M count=1 seek=4 oflag=direct status=none
sg_xcopy if="$1" of="$1" bs=512 count=2048 skip=8192 seek=20480
cmp <(dd if="$1" bs=1M count=1 skip=4 iflag=direct status=none) <(dd if="$1" bs=1M count=1 skip=10 iflag=direct status=none)
EOF
    check "sg_unmap punches a hole, and sg_get_lba_status sees it" node_script client0 "$path" <<'EOF'
sg_get_lba_status --16 --lba=8192 "$1" | grep -qi 'mapped'
sg_unmap --force --lba=8192 --num=2048 "$1"
sg_get_lba_status --16 --lba=8192 "$1" | grep -qi 'deallocated'
dd if="$1" bs=1M count=1 skip=4 iflag=direct status=none | cmp - <(head -c 1M /dev/zero)
EOF
    check "sg_write_same fills blocks" node_script client0 "$path" <<'EOF'
sg_write_same --16 --in=/run/rack/new --lba=1000 --num=16 --xferlen=512 "$1"
for block in 1000 1015; do dd if="$1" bs=512 skip="$block" count=1 iflag=direct status=none | cmp - /run/rack/new; done
EOF
    check "sg_verify compares" node_run client0 sg_verify --lba=1000 --count=16 "$path"
    check "sg_sanitize erases the whole unit" node_script client0 "$path" <<'EOF'
sg_sanitize --block --quick --wait "$1"
dd if="$1" bs=1M count=16 iflag=direct status=none | cmp - <(head -c 16M /dev/zero)
EOF
    require "down" stack_down client0
    check "nothing is left on client0" is_clean client0
    new_volumes
}
