# SPDX-License-Identifier: Apache-2.0
# Commands in the guest, through its agent: guest-exec and guest-exec-status.
# shellcheck shell=bash

not_run() {
    say "$@"
    exit 125
}

agent() { virsh --quiet qemu-agent-command "$1" --timeout "${3:-15}" "$2"; }

run_in_guest() {
    local name=${1:-} input='' request pid reply patience=0 pause=0.02
    (($# == 0)) || shift
    if [[ ${1:-} == -i ]]; then
        # libvirt takes the request as one argument, and the kernel limits that to 128 KiB.
        input=$(head -c 65537 | base64 -w 0)
        ((${#input} <= 87384)) || not_run 'standard input has more than 64 KiB'
        shift
    fi
    [[ $# -ge 2 && $1 == -- ]] || usage 'exec takes NAME, perhaps -i, then -- and a command'
    shift
    (own_guest "$name") || exit 125

    request=$(jq -nc --arg input "$input" '{execute: "guest-exec", arguments: ({path: $ARGS.positional[0],
        arg: $ARGS.positional[1:], "capture-output": true} + if $input == "" then {} else {"input-data": $input} end)}' --args -- "$@")
    reply=$(agent "$name" "$request") || not_run "$name: guest-exec failed"
    pid=$(jq -r .return.pid <<<"$reply")
    request="{\"execute\":\"guest-exec-status\",\"arguments\":{\"pid\":$pid}}"
    while true; do
        if reply=$(agent "$name" "$request" 2>/dev/null); then
            [[ $(jq .return.exited <<<"$reply") != true ]] || break
            patience=0
        else
            # While filesystems are frozen the agent refuses the question; it answers again after the thaw.
            ((++patience < 60)) || not_run "$name: guest-exec-status failed 60 times: frozen, or gone"
            pause=1
        fi
        sleep "$pause"
        pause=0.1
    done
    jq -r '.return["out-data"] // ""' <<<"$reply" | base64 -d
    jq -r '.return["err-data"] // ""' <<<"$reply" | base64 -d >&2
    exit_code=$(jq -r '.return | if has("signal") then 128 + .signal else .exitcode end' <<<"$reply")
    return "$exit_code"
}
