# shellcheck shell=bash
title="one volume's map without cluster: fio, mkfs.ext4 and fsck through the kernel initiator, sg3_utils' view of it"

scenario() {
    new_volumes
    require "the map of mpath0 is up on client0" attach_on client0 120 up --volume mpath0
    check "fio writes the map and reads back what it wrote" node_script client0 <<'END'
fio --name=map --filename=/dev/mapper/mpath0 --size=64M --rw=randwrite --bs=16k --direct=1 --ioengine=libaio --iodepth=8 \
    --verify=crc32c --verify_fatal=1 --do_verify=1 --minimal >/dev/null
END
    check "mkfs.ext4, a file, and a clean fsck" node_script client0 <<'END'
set -e
mkfs.ext4 -q -F /dev/mapper/mpath0
mkdir -p /run/rack/ext4
mount -t ext4 /dev/mapper/mpath0 /run/rack/ext4
dd if=/dev/urandom of=/run/rack/ext4/file bs=1M count=32 conv=fsync status=none
before=$(sha256sum </run/rack/ext4/file)
umount /run/rack/ext4
fsck.ext4 -f -n /dev/mapper/mpath0
mount -t ext4 -o ro /dev/mapper/mpath0 /run/rack/ext4
after=$(sha256sum </run/rack/ext4/file)
umount /run/rack/ext4
[ "$before" = "$after" ]
END
    check "sg3_utils see the unit on a path" node_script client0 <<'END'
set -e
path=/dev/$(ls /sys/block/"$(basename "$(readlink -f /dev/mapper/mpath0)")"/slaves | head -n 1)
for page in 0x00 0x80 0x83 0x86 0xb0 0xb1 0xb2; do sg_vpd --page="$page" "$path" >/dev/null; done
sg_readcap --16 "$path" | grep -q 'Number of logical blocks=2097152'
sg_luns "$path" | grep -q 'Lun list length = 8'
sg_turs "$path"
sg_opcodes "$path" >/dev/null
sg_get_lba_status --16 --lba=0 "$path" >/dev/null
END
    require "down" stack_down client0
    check "nothing is left on client0" is_clean client0
    new_volumes
}
