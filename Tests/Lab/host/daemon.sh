# SPDX-License-Identifier: Apache-2.0
# libvirt's daemons: where nothing starts them (no systemd), the lab does, and stops what it started.
# shellcheck shell=bash

folders() {
    mkdir -p "$lab/images" "$lab/guests" "$lab/daemons"
    # The guest's processes have a user of their own, who passes through here.
    chmod 711 "$lab" "$lab/guests"
}

answers() { virsh --quiet uri >/dev/null 2>&1; }

# A process's start time tells it from a later one with the same number.
start_time() { awk '{ sub(/.*\) /, ""); print $20 }' "/proc/$1/stat" 2>/dev/null; }

start_daemon() {
    local program=$1 pid
    pid=$(cat "/run/$program.pid" 2>/dev/null || true)
    if [[ -n $pid && $(cat "/proc/$pid/comm" 2>/dev/null) == "$program" ]]; then
        return
    fi
    "$program" --daemon 8>&- 9>&- || die "$program did not start"
    pid=$(cat "/run/$program.pid")
    echo "$pid $(start_time "$pid")" >"$lab/daemons/$program"
}

stop_daemon() {
    local record=$lab/daemons/$1 pid born
    [[ -e $record ]] || return 0
    read -r pid born <"$record"
    if [[ $(start_time "$pid") == "$born" ]]; then
        kill "$pid"
        while [[ $(start_time "$pid") == "$born" ]]; do sleep 0.1; done
    fi
    rm "$record"
}

# Without udev /dev/kvm is often root's alone. libvirt 9.0 then takes QEMU's capabilities for outdated and asks QEMU again, 4 s
# each, once per device of a domain's XML. The group is what Debian's udev gives.
lend_kvm() {
    [[ -c /dev/kvm && $(stat --format %G /dev/kvm) == root ]] && getent group kvm >/dev/null || return 0
    stat --format '%u:%g %a' /dev/kvm >"$lab/daemons/kvm"
    chown root:kvm /dev/kvm
    chmod 660 /dev/kvm
}

return_kvm() {
    local record=$lab/daemons/kvm owner mode
    [[ -e $record ]] || return 0
    read -r owner mode <"$record"
    chown "$owner" /dev/kvm
    chmod "$mode" /dev/kvm
    rm "$record"
}

ensure_daemon() {
    need virsh qemu-img jq flock
    folders
    answers && return
    [[ $LIBVIRT_DEFAULT_URI == qemu:///system && $EUID == 0 ]] || die "no libvirt daemon answers at $LIBVIRT_DEFAULT_URI: $(virsh uri 2>&1 | tail -n 1)"
    [[ ! -d /run/systemd/system ]] || die 'no libvirt daemon answers: systemctl start libvirtd'
    need libvirtd virtlogd
    (
        flock 9
        start_daemon virtlogd
        lend_kvm
        answers || start_daemon libvirtd
    ) 9>"$lab/daemons/lock"
    answers || die 'libvirtd was started but does not answer'
}

# From here to the end of this process nobody else's lab down stops the daemons.
hold_daemons() {
    folders
    exec 8>"$lab/daemons/users"
    flock --shared 8
}

# Stop what the lab started, when nobody has a guest any more, nor is about to.
release_daemons() {
    [[ -e $lab/daemons/libvirtd || -e $lab/daemons/virtlogd ]] || return 0
    (
        flock 9
        if { answers && [[ -n $(virsh --quiet list --name) ]]; } || ! flock --exclusive --nonblock 8; then
            say 'libvirtd stays: other guests need it'
            exit 0
        fi
        stop_daemon libvirtd
        stop_daemon virtlogd
        return_kvm
    ) 8>"$lab/daemons/users" 9>"$lab/daemons/lock"
}

daemons() {
    case $* in
        start) ensure_daemon ;;
        stop) release_daemons ;;
        *) usage 'daemons takes start or stop' ;;
    esac
}
