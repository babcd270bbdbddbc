# SPDX-License-Identifier: Apache-2.0
# The image: a Debian guest from distribution packages, cut into disk templates, cached under the hash of its recipe.
# shellcheck shell=bash

suite() {
    # shellcheck source=/dev/null
    if [[ -n ${STILLPOINT_LAB_SUITE:-} ]]; then
        echo "$STILLPOINT_LAB_SUITE"
    else
        (. /etc/os-release && if [[ $ID == debian ]]; then echo "${VERSION_CODENAME:-bookworm}"; else echo bookworm; fi)
    fi
}

# What apt on this host would fetch the suite from, one-line format; empty when apt has no lists of it.
sources() {
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    apt-get indextargets --format "\$(ORIGIN)|\$(CODENAME)|deb [signed-by=$keyring] \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" \
        'Created-By: Packages' | awk -F '|' -v suite="$1" '$1 == "Debian" && index($2, suite) == 1 { print $3 }' | sort -u
}

image_key() {
    (cd "$here/image" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum && suite) | sha256sum | cut -c 1-16
}

image() { echo "$lab/images/$(image_key)"; }

# Ordinary users get root's view of file owners from a user namespace.
as_root() {
    if ((EUID == 0)); then "$@"; else unshare --map-root-user --map-auto -- "$@"; fi
}

bootstrap() {
    local work=$1 suite origin=() mode=root
    suite=$(suite)
    ((EUID == 0)) || mode=unshare
    sources "$suite" >"$work/sources.list"
    [[ -s $work/sources.list ]] && origin=("$work/sources.list")
    tar --create --file "$work/guest.tar" --directory "$here/image/guest" --owner 0 --group 0 --mode u=rwX,go=rX .
    mmdebstrap --quiet --mode="$mode" --variant=minbase --architectures=amd64 --format=tar \
        --include="linux-image-cloud-amd64,$(grep -v '^#' "$here/image/packages" | paste -sd ,)" \
        --aptopt='Acquire::Languages "none"' --dpkgopt=force-confold --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/mysql/*/errmsg.sys' \
        --dpkgopt='path-include=/usr/share/mysql/english/errmsg.sys' \
        --essential-hook="tar-in '$work/guest.tar' /" \
        --customize-hook='chroot "$1" /usr/local/lib/lab/setup' \
        "$suite" - "${origin[@]}"
}

build_image() {
    local image work started=$SECONDS
    need mmdebstrap mke2fs mkfs.xfs mkfs.btrfs sfdisk qemu-img sha256sum
    [[ $(uname -m) == x86_64 ]] || die "cannot build the image on $(uname -m): the lab guest is x86_64"
    image=$(image)
    (
        flock 9
        [[ ! -e $image ]] || exit 0
        say 'building the image: takes some minutes, once'
        work=$lab/images/.building
        as_root rm -rf "$work"
        mkdir -p "$work/new"
        if ! bootstrap "$work" 2>"$lab/build.log" | as_root "$here/image/disks" "$work/new" &>>"$lab/build.log"; then
            tail -n 20 "$lab/build.log" >&2
            die "the image could not be built: $lab/build.log"
        fi
        mv "$work/new" "$image"
        as_root rm -rf "$work"
        # One image is kept: guests have copies of what they use.
        find "$lab/images" -mindepth 1 -maxdepth 1 ! -name "${image##*/}" -exec rm -rf {} +
        say "image ${image##*/} built in $((SECONDS - started)) s"
    ) 9>"$lab/lock"
}

clean_cache() {
    [[ -d $lab ]] || return 0
    (
        flock 9
        as_root rm -rf "$lab/images" "$lab/build.log"
    ) 9>"$lab/lock"
}
