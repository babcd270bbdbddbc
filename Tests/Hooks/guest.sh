#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The part of Tests/Hooks/run that runs in the lab guest: calls hooks as the host does, and looks at the engines from outside.
#   guest.sh CASE [ARGUMENT…]
# A failed check is a line "FAILED …" on stdout; a hook's answer is a line "ANSWER hook verb …", a duration "TIME hook verb ms".
# shellcheck source-path=SCRIPTDIR
# shellcheck disable=SC2154 # out, err and code are set by hook

here=/run/stillpoint-test
hooks=$here/hooks
run=00112233445566778899aabbccddeeff
cd / || exit 1
umask 077
mkdir -p "$here/tmp"
# shellcheck source=cases.sh
source "$here/cases.sh"
# shellcheck source=names.sh
source "$here/names.sh"

now() {
    local up
    read -r up _ </proc/uptime
    uptime=$((10#${up/./} * 10))
}

mkdir -p "/run/stillpoint/$run"
declare -A program
common=$(<"$hooks/common.sh")
for name in postgresql mysql redis sqlite; do program[$name]=$common$'\n'$(<"$hooks/$name"); done

# hook NAME VERB [KEY=VALUE…] → out err code: as the host's runner does it. In /run, which is never frozen.
hook() {
    local name=$1 verb=$2 begin limit=30
    shift 2
    [[ $verb != verify ]] || limit=300
    now
    begin=$uptime
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C \
        STILLPOINT_RUN=$run STILLPOINT_DOMAIN=lab STILLPOINT_VERB="$verb" STILLPOINT_LEASE_S=60 \
        STILLPOINT_OUTCOME=taken STILLPOINT_MOUNTPOINTS=/srv/data "$@" \
        timeout -k 2 $limit /bin/sh -c "${program[$name]}" stillpoint "$verb" </dev/null >"$here/tmp/out" 2>"$here/tmp/err"
    code=$?
    now
    ended=$uptime
    out=$(<"$here/tmp/out")
    err=$(<"$here/tmp/err")
    err=${err##*$'\n'}
    ((${#out} <= 65536)) || bad "$name $verb wrote ${#out} characters"
    echo "TIME $name $verb $((ended - begin))"
    [[ $code != 0 || -z $out ]] || echo "ANSWER $name $verb $out"
}

bad() { echo "FAILED $case: $*"; }
# expect CODE PATTERN: how the last call ended, and what its answer or its last line on stderr looks like.
expect() {
    local text=$out
    [[ $1 == 0 ]] || text=$err
    # shellcheck disable=SC2053 # a pattern
    [[ $code == "$1" && $text == $2 ]] || bad "expected $1 and $2, got $code: out '$out' err '$err'"
}
check() { "$@" >/dev/null 2>&1 || bad "not so: $*"; }
# within SECONDS COMMAND…: it ends well in that time.
within() { timeout "$1" bash -c "$(declare -f write read_from in_sqlite); \"\$@\"" bash "${@:2}" </dev/null >/dev/null 2>&1; }
blocked() { ! within 1.5 "$@" || bad "was not blocked: $*"; }
# by SECONDS COMMAND…: it becomes so, and is asked again until then.
by() {
    now
    local limit=$((uptime + $1 * 1000))
    shift
    until "$@" >/dev/null 2>&1; do
        now
        ((uptime < limit)) || {
            bad "not so in time: $*"
            return
        }
        sleep 0.1
    done
}
nothing_left() {
    [[ -z $(ls "/run/stillpoint/$run") ]] || bad "left in /run: $(ls -R "/run/stillpoint/$run")"
    by 5 no_units
}
no_units() { [[ -z $(systemctl list-units --plain --no-legend "stillpoint-${run:0:8}-*") ]]; }

# Without a pause between two tries: the load leaves the database free for a moment only, and SQLite's own wait sleeps over it.
in_sqlite() {
    python3 - "$1" <<'PYTHON'
import sqlite3, sys, time
end = time.monotonic() + 4
while True:
    try:
        database = sqlite3.connect("/srv/data/sqlite/load.db", timeout=0, isolation_level=None)
        print(*database.execute(sys.argv[1]).fetchone() or "")
        break
    except sqlite3.OperationalError:
        if time.monotonic() > end:
            raise
PYTHON
}

# write and read ENGINE: as a second client.
write() {
    case $1 in
        postgresql) setpriv --reuid=postgres --regid=postgres --init-groups /usr/lib/postgresql/15/bin/psql -XqAt -d postgres -c 'INSERT INTO probe VALUES (1)' ;;
        mysql) mariadb -e 'INSERT INTO lab.probe VALUES (1)' ;;
        redis) redis-cli -e INCR probe ;;
        sqlite) in_sqlite 'INSERT INTO probe VALUES (1)' ;;
    esac
}
read_from() {
    case $1 in
        postgresql) setpriv --reuid=postgres --regid=postgres --init-groups /usr/lib/postgresql/15/bin/psql -XqAt -d postgres -c 'SELECT count(*) FROM probe' ;;
        mysql) mariadb -e 'SELECT COUNT(*) FROM lab.probe' ;;
        redis) redis-cli -e GET probe ;;
        sqlite) in_sqlite 'SELECT count(*) FROM probe' ;;
    esac
}

folder() {
    case $1 in postgresql) echo /var/lib/postgresql ;; mysql) echo /var/lib/mysql ;; *) echo /srv/data ;; esac
}

# arm FOLDER: a timer thaws it whatever happens to this process.
arm() {
    # shellcheck disable=SC2016 # for the shell started there
    systemd-run --quiet --collect --unit=stillpoint-test-thaw -p StandardOutput=null -p StandardError=null -- \
        sh -c 'while sleep 60; do fsfreeze -u "$1"; done' sh "$1"
}
disarm() { systemctl stop stillpoint-test-thaw.service; }
# window FOLDER: what the coordinator does between the hooks' verbs.
window() {
    fsfreeze -f "$1"
    sleep 0.2
    fsfreeze -u "$1" || bad "$1 was thawed by the timer"
}

case=$1
shift
"case_$case" "$@"
