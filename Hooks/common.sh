#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The functions that every hook finds defined: the host sends this text and the hook's as one. POSIX sh, no process where a builtin
# does, because between the lock and its release every process costs the guest's users some milliseconds.
# shellcheck disable=SC2034,SC2154 # what a function answers with is read by the hook, which says its name in $hook

newline='
'
tab='	'

# --- Ends. The last line on stderr is what the user is shown: who, what, what to do.

fail() { end 1 "$1"; }
busy() { end 75 "$1"; }
denied() { end 77 "$1"; }
end() {
    one_line "$2"
    printf '%s\n' "$line" >&2
    exit "$1"
}

# one_line TEXT → $line: what people are shown, without line ends and other control characters.
one_line() {
    line=
    rest=$1
    while :; do
        head=${rest%%[[:cntrl:]]*}
        line=$line$head
        [ "$head" != "$rest" ] || break
        rest=${rest#"$head"?}
        line=${line% }' '
    done
    line=${line% }
}

# --- JSON

# json_string TEXT → $json: quoted, whatever bytes it holds; they must be UTF-8.
json_string() {
    json='"'
    rest=$1
    while :; do
        head=${rest%%[[:cntrl:]\"\\]*}
        json=$json$head
        [ "$head" != "$rest" ] || break
        rest=${rest#"$head"}
        character=${rest%"${rest#?}"}
        rest=${rest#?}
        case $character in
            [\"\\]) json=$json\\$character ;;
            *) json=$json$(printf '\\u%04x' "'$character") ;;
        esac
    done
    json=$json'"'
}

# json_list TEXT… → $json: a list of strings.
json_list() {
    list=
    for item; do
        json_string "$item"
        list=${list:+$list,}$json
    done
    json="[$list]"
}

# recorded KEY → $value: a string or number of STILLPOINT_PARAM_RECORDED_POSITION, empty when it has none. For values without
# quotes, backslashes and commas, as positions in logs are.
recorded() {
    value=
    case ${STILLPOINT_PARAM_RECORDED_POSITION-} in
        *"\"$1\""*) value=${STILLPOINT_PARAM_RECORDED_POSITION#*"\"$1\""} ;;
        *) return 0 ;;
    esac
    value=${value#*:}
    value=${value# }
    case $value in
        \"*)
            value=${value#\"}
            value=${value%%\"*}
            ;;
        *) value=${value%%[!0-9]*} ;;
    esac
}

# --- Time

# uptime_ms → $now: milliseconds since boot, in steps of ten; no clock change moves it.
uptime_ms() {
    read -r now rest </proc/uptime
    rest=1${now#*.}
    now=$((${now%.*} * 1000 + rest * 10 - 1000))
}

# milliseconds DURATION → $ms: 500ms, 5s, 2m; a plain number is seconds.
milliseconds() {
    case ${1%%[a-z]*} in '' | *[!0-9]*) fail "$hook: '$1' is no duration: 500ms, 5s, 2m" ;; esac
    case $1 in
        *[0-9]ms) ms=${1%ms} ;;
        *[0-9]s) ms=$((${1%s} * 1000)) ;;
        *[0-9]m) ms=$((${1%m} * 60000)) ;;
        *[0-9]) ms=$(($1 * 1000)) ;;
        *) fail "$hook: '$1' is no duration: 500ms, 5s, 2m" ;;
    esac
}

# --- Finding

# processes NAME… → $pids: of that name, in this guest itself and not in a container, and nobody else of the name as parent.
processes() {
    pids=
    found=' '
    for process in /proc/[0-9]*; do
        { read -r comm <"$process/comm"; } 2>/dev/null || continue
        for name; do [ "$comm" != "$name" ] || found="$found${process#/proc/} "; done
    done
    [ "$found" != ' ' ] || return 0
    here=$(readlink /proc/self/ns/pid)
    for pid in $found; do
        { read -r rest <"/proc/$pid/stat"; } 2>/dev/null || continue
        rest=${rest##*) ? }
        case $found in *" ${rest%% *} "*) continue ;; esac
        [ "$(readlink "/proc/$pid/ns/pid")" != "$here" ] || pids="$pids $pid"
    done
}

# unix_socket PID → $socket: the first socket file it listens on, as the kernel knows it; no configuration can mislead.
unix_socket() {
    socket=
    files=$(ls -l "/proc/$1/fd" 2>/dev/null)
    while read -r _ _ _ flags _ _ inode path; do
        case $flags$path in 00010000*/mysqlx.sock) continue ;; 00010000/*) ;; *) continue ;; esac
        case $files in *"socket:[$inode]"*) ;; *) continue ;; esac
        socket=$path
        return
    done </proc/net/unix
}

# resolved PATH → $path: absolute and without symbolic links, as the host compares it with mount points. Fails when it is not there.
resolved() {
    path=$(readlink -f -- "$1") && [ -e "$path" ]
}

# --- Other users. PAM, sudo and su write logs, which a frozen disk stops: so before the freeze only.

# as_process PID → $as: the words that run a command as the user of that process; empty for root.
as_process() {
    as=
    while read -r key user rest; do
        case $key in Uid:) uid=$user ;; Gid:) gid=$user ;; esac
    done <"/proc/$1/status"
    [ "$uid" != 0 ] || return 0
    if setpriv --reuid=0 true 2>/dev/null; then
        as="setpriv --reuid=$uid --regid=$gid --clear-groups --"
        return
    fi
    user=$(stat -c %U "/proc/$1")
    if command -v runuser >/dev/null; then as="runuser -u $user --"; else as="su -s /bin/sh -c 'exec \"\$0\" \"\$@\"' -- $user"; fi
}

# shell_words TEXT… → $words: quoted for the shell.
shell_words() {
    words=
    for rest; do
        words="$words '"
        while :; do
            head=${rest%%\'*}
            words=$words$head
            [ "$head" != "$rest" ] || break
            words="$words'\\''"
            rest=${rest#"$head"?}
        done
        words="$words'"
    done
}

# run_as COMMAND…: once, as the user of as_process.
run_as() {
    shell_words "$@"
    eval "$as $words"
}

# --- Sessions. A lock lives in a client's session. The holder keeps the clients, outside the agent's control group, since what is
# inside dies with the agent; each client reads NUMBER.in and writes NUMBER.out in $state. At the end of the lease it kills them,
# and with the session goes the lock. All state is in /run, which no freeze stops.

# use INSTANCE: what follows is about this one. → $state
use() {
    instance=$1
    restore=$IFS
    IFS=/
    # shellcheck disable=SC2086 # split at the slashes, joined by underscores
    set -f && set -- $instance && set +f
    IFS=_
    unit=$hook${instance:+:$*}
    IFS=$restore
    state=$run/$unit
}

# use_prepared: the instance that the parameter names, else the one that `prepare` opened. Fails when there is none.
use_prepared() {
    use "${STILLPOINT_PARAM_INSTANCE-}"
    [ -d "$state" ] && return
    [ -z "$instance" ] || return 1
    for state in "$run/$hook":*; do [ -d "$state" ] && return; done
    return 1
}

# The pipes are open before the number of the holder is there to be read, else what is written to them could be lost.
# A client that ended leaves its last words to be read. When the lease ends, the clients do, and ten minutes later what is left.
# shellcheck disable=SC2016 # for the holder's shell
holder='cd "$1" || exit 1
exec 2>/dev/null
renice -n -10 "$$" >/dev/null
for client in *.client; do
    number=${client%.client}
    exec 4<>"$number.in" 5<>"$number.out"
    {
        sh "./$client" <&4 >&5 2>&1 4<&- 5>&- &
        echo "$!" >"$number.pid"
        wait "$!"
        printf "\nstillpoint ended\n" >&5
        while [ -e "$client" ]; do sleep 1; done
    } &
done
# And the numbers by which `release` ends the clients.
for client in *.client; do until [ -s "${client%.client}.pid" ]; do sleep 0.01; done; done
echo "$$" >holder
while [ -e deadline ]; do
    read -r limit <deadline
    read -r now rest </proc/uptime
    now=${now%.*}
    if [ "$now" -ge "${limit:-$((now + 1))}" ]; then
        [ ! -e lost ] || rm -rf "$1"
        echo "the lease ended" >lost
        echo "$((now + 600))" >deadline
        for last in *.last; do [ -e "$last" ] && cat "$last" >"${last%.last}.in" && sleep 1; done
        for pid in *.pid; do read -r pid <"$pid" && kill -KILL "$pid"; done
    fi
    sleep 1
done'

# detach UNIT COMMAND…: in the background, outside the agent's control group where systemd is. Its arguments may hold neither
# two dollar signs nor a dollar sign and a brace, which systemd expands.
detach() {
    detached=stillpoint-${STILLPOINT_RUN%"${STILLPOINT_RUN#????????}"}-$1
    shift
    if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null; then
        systemd-run --quiet --collect --unit="$detached" \
            -p StandardInput=null -p StandardOutput=null -p StandardError=null -- "$@" 2>/dev/null && return
    fi
    setsid "$@" >/dev/null 2>&1 </dev/null &
}

# client NUMBER COMMAND…: what session NUMBER is to be, as the user of as_process. Before `hold`.
client() {
    number=$1
    shift
    shell_words "$@"
    if ! mkdir -p "$state" || ! mkfifo "$state/$number.in" "$state/$number.out"; then fail "$hook: $state cannot be written"; fi
    printf 'export HOME=/root LC_ALL=C PATH=%s\nexec %s\n' "$PATH" "$as$words" >"$state/$number.client"
}

# hold: start the clients. They stay idle, for ten minutes at most, until the lease begins.
hold() {
    lease_for 600
    printf '%s\n' "$holder" >"$state/run"
    detach "$unit" sh "$state/run" "$state"
    tries=0
    until [ -s "$state/holder" ]; do
        tries=$((tries + 1))
        [ "$tries" -le 200 ] || fail "$hook: the holder did not start within 10 s"
        sleep 0.05
    done
}

lease_for() {
    uptime_ms
    echo "$((now / 1000 + $1))" >"$state/deadline"
}

# lease: from here the lock is ours, for STILLPOINT_LEASE_S seconds at most.
lease() { begin_lease "$STILLPOINT_LEASE_S"; }

# begin_lease SECONDS: the same for what begins in `prepare` already, while others still prepare.
begin_lease() {
    lease_for "$1"
    echo "$now $1" >"$state/start"
}

# lease_off: nothing is locked, and the clients are idle again.
lease_off() {
    lease_for 600
    : >"$state/start"
}

# ask NUMBER TEXT → $reply: what the client printed. Fails when the session is gone. The hook says in $mark how a client is made
# to print a word (a format of printf), and with `gone LINE` which lines mean that it will not print it any more.
ask() {
    reply=
    asked=$((${asked:-0} + 1))
    word="stillpoint $$ $asked"
    { read -r pid <"$state/holder"; } 2>/dev/null && [ -d "/proc/$pid" ] || return 1
    exec 3<>"$state/$1.out"
    # Opened for reading too, the pipe never makes us wait. What an earlier call left unread ends where ours begins.
    # shellcheck disable=SC2059 # the hook's format
    printf "$mark\n%s\n$mark\n" "$word begins" "$2" "$word ends" 1<>"$state/$1.in"
    while IFS= read -r line <&3; do
        case $line in
            "$word begins") reply= ;;
            "$word ends") return 0 ;;
            'stillpoint ended')
                echo "$line" >&3 # for whoever asks next
                return 1
                ;;
            *) reply=$reply$line$newline ;;
        esac
        if gone "$line"; then return 1; fi
    done
}
# shellcheck disable=SC2317 # a hook may have its own
gone() { return 1; }

# let_go NUMBER TEXT → $reply: asks for the end of a lock. With the answer it has ended, and the next hook begins.
let_go() {
    ask "$@" || return
    uptime_ms
    ended=$now
    in_turn
}

# proof [REASON] → $proof: the answer's fields held, holdMs and lost. REASON says why the hook knows that the lock was lost.
proof() {
    uptime_ms
    now=${ended:-$now}
    read -r start granted <"$state/start"
    lost=${1-}
    [ ! -s "$state/lost" ] || read -r lost <"$state/lost"
    [ -n "$lost" ] || [ "$((now - start))" -lt "$((granted * 1000))" ] || lost="the lease of $granted s ended"
    proof='"held":true'
    if [ -n "$lost" ]; then
        one_line "$lost"
        json_string "$line"
        proof="\"held\":false,\"lost\":$json"
    fi
    proof="$proof,\"holdMs\":$((now - start))"
}

# release: nothing of this instance is left; what a hook undoes beyond its session, it undoes in `undone`.
release() {
    [ -d "${state-}" ] || return 0
    undone
    for file in "$state"/*.pid; do
        { read -r pid <"$file"; } 2>/dev/null && kill -KILL "$pid" 2>/dev/null
    done
    rm -rf "$state"
}
# shellcheck disable=SC2317 # a hook may have its own
undone() { :; }

# in_turn: this lock is held, or let go: the next hook begins. What follows only says where things stood, and must not fail.
in_turn() { ! command -v pass_on >/dev/null || pass_on; }

# --- Verbs. A hook defines probe, prepare, pre_freeze, post_thaw and verify, and ends with: dispatch "$@"

# Where hooks wait for each other, what runs them has defined stand_by, which waits for the word, and pass_on.
dispatch() {
    ! command -v stand_by >/dev/null || stand_by
    STILLPOINT_RUN=${STILLPOINT_RUN:-drop-in}
    STILLPOINT_LEASE_S=${STILLPOINT_LEASE_S:-60}
    run=/run/stillpoint/$STILLPOINT_RUN
    case ${1-} in
        probe | verify) "$1" ;;
        prepare) begin ;;
        pre-freeze) hold_now ;;
        post-thaw) finish ;;
        # As a drop-in of qemu-ga's fsfreeze-hook.d, where a run that comes through guest-exec goes first.
        freeze) through_exec || { begin >/dev/null && hold_now; } ;;
        thaw | freezeFail) through_exec || finish ;;
        *)
            echo "$hook: unknown verb '${1-}': probe, prepare, pre-freeze, post-thaw or verify" >&2
            exit 64
            ;;
    esac
}

# A mark that is ten minutes old is of a run that was given up.
through_exec() {
    uptime_ms
    for file in /run/stillpoint/active-*; do
        { read -r seen <"$file"; } 2>/dev/null || continue
        seen=$((now / 1000 - seen))
        if [ "$seen" -ge 0 ] && [ "$seen" -lt 600 ]; then return 0; fi
    done
    return 1
}

# What fails before anything is locked leaves nothing behind.
begin() {
    trap release EXIT
    prepare
    : >"$state/prepared"
    trap - EXIT
}

hold_now() {
    if ! use_prepared || [ ! -e "$state/prepared" ]; then fail "$hook: no session is open: prepare comes first"; fi
    pre_freeze
}

# Whatever happens, the clients end, and a second call finds nothing to do.
finish() {
    if ! use_prepared; then
        echo '{"held":null}'
        return
    fi
    trap release EXIT
    # bash would release when it is killed too, and the next call find nothing to do.
    trap 'trap - EXIT; exit 143' HUP INT TERM
    if [ -s "$state/start" ]; then
        post_thaw
    else
        echo '{"held":null}'
    fi
    in_turn
}
