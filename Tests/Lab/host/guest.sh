# SPDX-License-Identifier: Apache-2.0
# A guest's life: fresh disks, domain, running; and everything gone again. Only domains with our mark are touched.
# shellcheck shell=bash

mark=https://stillpoint.dev/lab/1

known() { virsh --quiet domuuid "$1" >/dev/null 2>&1; }
marked() { virsh --quiet metadata "$1" "$mark" >/dev/null 2>&1; }

check_name() {
    [[ $1 =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$ ]] || usage "'$1' is no guest name: letters, digits and ._- only"
}

# Every lab guest libvirt knows, and every folder that an interrupted run left behind.
guests() {
    local name
    {
        while read -r name; do
            if [[ -n $name ]] && marked "$name"; then echo "$name"; fi
        done < <(virsh --quiet list --all --name)
        find "$lab/guests" -mindepth 1 -maxdepth 1 -printf '%f\n'
    } | sort -u
}

own_guest() {
    check_name "$1"
    answers && known "$1" || die "no guest '$1'"
    marked "$1" || die "'$1' is not a guest of the lab: left alone"
}

up() {
    (($# >= 1)) || usage 'up takes SHAPE and perhaps NAME and TARGET=IMAGE'
    local shape=$1 name=${2:-stillpoint-lab-$1} folder disks started=$SECONDS
    check_name "$name"
    disks=$(shape_disks "$shape")
    shift $(($# < 2 ? $# : 2))
    hold_daemons
    ensure_daemon
    if known "$name" && ! marked "$name"; then
        die "'$name' exists and is not a guest of the lab: choose another name"
    fi
    build_image
    remove "$name"

    folder=$lab/guests/$name
    mkdir -m 711 "$folder"
    # One at a time: a rebuild may not take the image away in between.
    (
        flock 9
        for disk in $disks vmlinuz initrd.img; do
            cp --reflink=auto --sparse=always "$(image)/$disk" "$folder/$disk"
        done
    ) 9>"$lab/lock"
    for disk; do fill "$folder" "$disk" "$disks"; done
    domain_xml "$name" "$shape" >"$folder/domain.xml"
    virsh --quiet define --validate "$folder/domain.xml" >&2
    virsh --quiet start "$name" >&2
    say "$name started"
    wait_until_ready "$name" "$shape"
    say "$name is ready after $((SECONDS - started)) s"
    echo "$name"
}

# The disk of TARGET=IMAGE in $2 gets that image's content, its whole chain's, flat.
fill() {
    local folder=$1 target=${2%%=*} image=${2#*=} letters=abcdefghijklmnopqrstuvwxyz index=0 disk
    for disk in $3; do
        [[ vd${letters:index++:1} == "$target" ]] || continue
        qemu-img convert -O "${disk##*.}" -- "$image" "$folder/$disk"
        return
    done
    usage "'$2': the shape has no disk $target"
}

wait_until_ready() {
    local name=$1 shape=$2 deadline=$((SECONDS + 300)) failed
    until virsh --quiet qemu-agent-command "$name" --timeout 5 '{"execute":"guest-ping"}' >/dev/null 2>&1; do
        [[ $(virsh --quiet domstate "$name") == running ]] || die "$name stopped while it booted: lab console $name"
        ((SECONDS < deadline)) || die "$name's agent does not answer after 300 s: lab console $name"
        sleep 0.3
    done
    say "$name's agent answers"
    run_in_guest "$name" -- systemctl start "lab-$shape.target"
    failed=$(run_in_guest "$name" -- systemctl list-units --failed --plain --no-legend)
    [[ -z $failed ]] || die "$name booted with failures: $failed"
}

# The files above our folder in the chains of a domain's disks: overlays that someone put elsewhere.
stray_overlays() {
    local name=$1 file chain
    {
        virsh --quiet domblklist "$name" --details
        virsh --quiet domblklist "$name" --details --inactive
    } | awk '$1 == "file" { print $4 }' | sort -u | while read -r file; do
        chain=$(qemu-img info --force-share --backing-chain --output json "$file" 2>/dev/null | jq -r '.[].filename') || continue
        if grep -q "^$lab/guests/$name/" <<<"$chain"; then
            grep -v "^$lab/guests/$name/" <<<"$chain" || true
        fi
    done | sort -u
}

# Nothing is left of the lab guest $1; nothing happens when there is none.
remove() {
    local name=$1 overlay overlays=
    if known "$name"; then
        marked "$name" || die "'$name' is not a guest of the lab: left alone"
        overlays=$(stray_overlays "$name")
        virsh --quiet destroy "$name" >/dev/null 2>&1 || true
        # A transient domain is gone by now.
        if known "$name"; then
            virsh --quiet undefine "$name" --managed-save --snapshots-metadata --checkpoints-metadata >/dev/null
        fi
    fi
    while read -r overlay; do
        if [[ -n $overlay ]]; then rm -f -- "$overlay"; fi
    done <<<"$overlays"
    rm -rf -- "${lab:?}/guests/${name:?}"
}

down() {
    (($# <= 1)) || usage 'down takes NAME or --all'
    local name names
    [[ -d $lab/guests ]] || return 0
    # Without a daemon there is no guest, unless the daemon died before its guests.
    if ! answers && [[ -z $(ls "$lab/guests") ]]; then
        release_daemons
        return
    fi
    ensure_daemon
    names=$(guests)
    case ${1:-} in
        --all) ;;
        '') [[ $(wc -w <<<"$names") -le 1 ]] || die "which one? $(paste -sd ' ' <<<"$names"), or --all" ;;
        *)
            check_name "$1"
            if ! grep -qxF -- "$1" <<<"$names"; then own_guest "$1"; fi
            names=$1
            ;;
    esac
    for name in $names; do
        remove "$name"
        say "$name is gone"
    done
    release_daemons
}

list() {
    (($# == 0)) || usage 'list takes nothing'
    local name
    answers && [[ -d $lab/guests ]] || return 0
    for name in $(guests); do
        if known "$name"; then
            printf '%-32s %-8s %s\n' "$name" "$(virsh metadata "$name" "$mark" | sed -n 's/.*<[^>]*shape>\(.*\)<.*/\1/p')" "$(virsh --quiet domstate "$name")"
        else
            printf '%-32s %-8s %s\n' "$name" - 'leftover files'
        fi
    done
}

console() {
    (($# == 1)) || usage 'console takes NAME'
    check_name "$1"
    tail -n 60 "$lab/guests/$1/console.log" 2>/dev/null || die "no console of '$1'"
}

load() {
    [[ ${*:2} =~ ^(start( [0-9]+(\.[0-9]+)?)?|stop|report|check)$ ]] || usage 'load takes NAME and start [PAUSE], stop, report or check'
    run_in_guest "$1" -- lab-load "${@:2}"
}
