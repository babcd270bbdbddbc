# SPDX-License-Identifier: Apache-2.0
# What both benchmarks share: a lab guest of their own, the machine's description, and order statistics.
# shellcheck shell=bash

if ((EUID == 0)); then
    export LIBVIRT_DEFAULT_URI=${LIBVIRT_DEFAULT_URI:-qemu:///system}
else
    export LIBVIRT_DEFAULT_URI=${LIBVIRT_DEFAULT_URI:-qemu:///session}
fi

lab=${BASH_SOURCE[0]%/*}/../Lab/lab
program=${0##*/}

say() { echo "$program: $*" >&2; }

die() {
    say "$@"
    exit 1
}

usage() {
    echo "$program: $*; try $program --help" >&2
    exit 64
}

need() {
    local tool missing=()
    for tool; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    [[ -z ${missing[*]} ]] || die "missing: ${missing[*]}"
}

whole_number() { [[ $2 =~ ^[1-9][0-9]{0,5}$ ]] || usage "$1 is a whole number from 1 to 999999, not '$2'"; }

# The release binary, unless another is named.
find_stillpoint() {
    [[ -n ${stillpoint:-} ]] || stillpoint=${lab%Tests/*}.build/release/stillpoint
    [[ -x $stillpoint ]] || die "no $stillpoint: swift build -c release --product stillpoint"
}

# A fresh guest, of shape wide unless told, which goes again with this process; lab refuses a name that belongs to another domain.
boot() {
    guest=$1 shape=${2:-wide}
    work=$(mktemp -d "${TMPDIR:-/tmp}/stillpoint-bench.XXXXXX")
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # Not through a pipe: grep -q would end it early, and a guest that is there would be taken for none and replaced.
    if grep -q "^$guest " <<<"$("$lab" list)"; then
        die "'$guest' is there already: $lab down $guest, or another name"
    fi
    # From here on the guest is ours to remove; the lab leaves alone what it did not make.
    booted=yes
    "$lab" up "$shape" "$guest" >/dev/null
    uuid=$(virsh --quiet domuuid "$guest" | awk 'NF')
}

leave() {
    trap '' INT TERM
    if [[ -n ${booted:-} ]]; then
        "$lab" down "$guest" || true
        # The lock of a guest that is gone is of use to nobody.
        if [[ -n ${uuid:-} ]]; then rm -f "/run/stillpoint/lock/$uuid"; fi
    fi
    rm -rf "$work"
}

in_guest() { "$lab" exec "$guest" -- "$@"; }

# Now, in microseconds.
now() { local t=$EPOCHREALTIME; echo "${t/[.,]/}"; }

# Sets `shuffled` to the arguments in random order. No subshell: that would have a RANDOM without our seed.
shuffle() {
    local items=("$@") left pick
    shuffled=()
    for ((left = $#; left > 0; left--)); do
        pick=$((RANDOM % left))
        shuffled+=("${items[pick]}")
        items[pick]=${items[left - 1]}
    done
}

describe_machine() {
    local cpu accel
    cpu=$(awk -F ': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)
    accel=${STILLPOINT_LAB_ACCEL:-tcg}
    cat <<TEXT
host     $(nproc) x $cpu, kernel $(uname -r), load average $(cut -d ' ' -f 1-3 /proc/loadavg)
guest    kernel $(in_guest uname -r), $(in_guest nproc) vCPU ($accel), shape $shape
libvirt  $(virsh version --daemon | sed -n 's/^Running against daemon: //p'), QEMU $(virsh version | sed -n 's/^Running hypervisor: QEMU //p')
TEXT
}

# Numbers on stdin; nearest-rank quantile $1 of them (0.5 is the lower median).
quantile() {
    sort -n | awk -v q="$1" '{ v[NR] = $1 } END { if (NR == 0) { print "-"; exit }
        r = q * NR; k = int(r); if (k < r || k < 1) k++; print v[k] }'
}

# An even count has two middles.
median() {
    sort -n | awk '{ v[NR] = $1 } END { if (NR == 0) { print "-"; exit }
        printf "%.6g\n", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
