# shellcheck shell=bash
# Programs that one scenario wants on one node. They must not be installed on this machine: every node is its userland,
# and their udev rules would be every node's too.

# node_install NODE PACKAGE...: unpacks Debian packages into the node's own root, which is gone when it is powered off.
# No package script runs.
node_install() {
    local node=$1 folder=$STATE/packages package
    shift
    for package in "$@"; do
        [[ -d $folder/$package ]] && continue
        mkdir -p "$folder/archives"
        (cd "$folder/archives" && apt-get -o APT::Sandbox::User=root download "$package" >/dev/null) || {
            apt-get update >/dev/null 2>&1
            (cd "$folder/archives" && apt-get -o APT::Sandbox::User=root download "$package" >/dev/null)
        }
        dpkg-deb -x "$folder/archives/${package}"_*.deb "$folder/$package"
    done
    # The state folder is on every node, read-only.
    for package in "$@"; do
        # Debian 12's /lib and /sbin are links into /usr.
        node_run "$node" sh -c 'tar -C "$1" -cf - . | tar -C / --keep-directory-symlink -xf -' unpack "/run/rack/lab/packages/$package"
    done
    node_run "$node" ldconfig
}
