# SPDX-License-Identifier: Apache-2.0
# What Tests/Hooks/run asks for, one function a case; sourced by guest.sh.
# shellcheck shell=bash
# shellcheck disable=SC2154 # set by guest.sh

# shellcheck disable=SC2016 # meant as it is
secret='it"s \ a $(secret)'
list=/etc/stillpoint/sqlite.list
psql=(setpriv --reuid=postgres --regid=postgres --init-groups /usr/lib/postgresql/15/bin/psql -XqAt -d postgres)

case_setup() {
    "${psql[@]}" -c 'CREATE TABLE probe (n int)'
    mariadb -e 'CREATE DATABASE IF NOT EXISTS lab; CREATE TABLE lab.probe (n int); CREATE TABLE lab.plain (n int) ENGINE = MyISAM;
        INSERT INTO lab.plain VALUES (1); INSERT INTO lab.probe VALUES (1)'
    redis-cli -e SET probe 0 >/dev/null
    mkdir -p /etc/stillpoint
    sqlite3 -cmd '.timeout 5000' /srv/data/sqlite/load.db 'CREATE TABLE probe (n int)'
    (umask 022 && printf '# the load\n\n/srv/data/sqlite/load.db\n' >"$list")
    for engine in postgresql mysql redis sqlite; do by 10 write "$engine"; done
}

# One run with everything that a client may notice.
case_engine() {
    local engine=$1 position=$2 held=$3
    shift 3
    hook "$engine" probe
    expect 0 '*"state":"running"*"version":"*"paths":\["/*'
    [[ $out != *denied* ]] || bad "denied: $out"
    hook "$engine" prepare "$@"
    expect 0 '*'
    arm "$(folder "$engine")"
    hook "$engine" pre-freeze "$@"
    expect 0 "*$position*"
    if [[ $engine == postgresql ]]; then check within 5 write "$engine"; else blocked write "$engine"; fi
    check within 5 read_from "$engine"
    window "$(folder "$engine")"
    check within 5 read_from "$engine"
    hook "$engine" post-thaw "$@"
    disarm
    expect 0 "{\"held\":$held*"
    check within 5 write "$engine"
    hook "$engine" post-thaw "$@"
    expect 0 '{"held":null}'
    nothing_left
}

case_backup() {
    case_engine postgresql '"startLsn"' true STILLPOINT_PARAM_MODE=backup STILLPOINT_PARAM_INSTANCE=15/main
    hook postgresql prepare STILLPOINT_PARAM_MODE=backup
    hook postgresql pre-freeze STILLPOINT_PARAM_MODE=backup
    hook postgresql post-thaw STILLPOINT_PARAM_MODE=backup
    expect 0 '*"stopLsn"*"artifacts":\[{"name":"backup_label","base64":"*'
    local label=${out##*base64\":\"} segment=${out##*\"walSegment\": \"}
    [[ $(base64 -d <<<"${label%%\"*}") == 'START WAL LOCATION: '*" (file ${segment%%\"*})"*$'\nLABEL: stillpoint\n'* ]] ||
        bad 'backup_label is not byte-exact, or begins in another WAL segment'
}

# How long writers wait beyond the window.
case_rounds() {
    local engine=$1 returned count hold
    arm "$(folder "$engine")"
    for ((count = 0; count < $2; count++)); do
        hook "$engine" prepare
        expect 0 '*'
        hook "$engine" pre-freeze
        expect 0 '*position*'
        returned=$ended
        window "$(folder "$engine")"
        now
        returned=$((uptime - returned))
        hook "$engine" post-thaw
        expect 0 '{"held":true,"holdMs":*'
        hold=${out##*\"holdMs\":}
        echo "HOLD $engine $((${hold%%[!0-9]*} - returned)) $returned"
    done
    disarm
}

# Nobody comes: the lock goes with its lease, and that is told.
case_lease() {
    for engine in mysql redis sqlite; do hook "$engine" prepare; done
    for engine in mysql redis sqlite; do
        hook "$engine" pre-freeze STILLPOINT_LEASE_S=3
        expect 0 '*position*'
        blocked write "$engine"
    done
    for engine in mysql redis sqlite; do by 6 within 3 write "$engine"; done
    for engine in sqlite redis mysql; do
        hook "$engine" post-thaw
        expect 0 '{"held":false,"lost":"*lease*'
        hook "$engine" post-thaw
        expect 0 '{"held":null}'
    done
    percentage
    nothing_left
}
percentage() { [[ $(redis-cli config get auto-aof-rewrite-percentage) == *100 ]] || bad "redis' percentage is not back"; }

# The clients are killed between pre-freeze and post-thaw.
case_killed() {
    for engine in postgresql mysql redis sqlite; do
        hook "$engine" prepare STILLPOINT_PARAM_MODE="$(mode "$engine")"
        hook "$engine" pre-freeze
        expect 0 '*position*'
        for file in /run/stillpoint/"$run"/"$engine"*/*.pid; do kill -KILL "$(<"$file")"; done
        [[ $engine == redis ]] || by 6 within 3 write "$engine"
        hook "$engine" post-thaw
        expect 0 '{"held":false,"lost":"*'
        by 6 within 3 write "$engine"
        # The holder itself, and with it everything that it started.
        hook "$engine" prepare STILLPOINT_PARAM_MODE="$(mode "$engine")"
        hook "$engine" pre-freeze
        systemctl kill --signal=KILL "stillpoint-${run:0:8}-*"
        by 6 no_units
        hook "$engine" post-thaw
        expect 0 '{"held":false,"lost":"*'
        by 6 within 3 write "$engine"
    done
    percentage
    nothing_left
}
mode() { if [[ $1 == postgresql ]]; then echo backup; fi; }

# Between the two the agent is restarted.
case_before_restart() {
    for engine in mysql redis sqlite; do
        hook "$engine" prepare
        hook "$engine" pre-freeze STILLPOINT_LEASE_S=120
        expect 0 '*position*'
    done
    systemd-run --quiet --collect --on-active=1 -- sh -c 'systemctl restart qemu-guest-agent && : >/run/stillpoint-test/restarted'
}
case_after_restart() {
    [[ -e $here/restarted ]] || bad 'the agent was not restarted'
    for engine in mysql redis sqlite; do blocked write "$engine"; done
    for engine in sqlite redis mysql; do
        hook "$engine" post-thaw
        expect 0 '{"held":true*'
        check within 5 write "$engine"
    done
    nothing_left
}

# Only prepare ran, or not even that; or it ran twice.
case_idle() {
    for engine in postgresql mysql redis sqlite; do
        hook "$engine" pre-freeze
        expect 1 '*prepare comes first*'
        hook "$engine" post-thaw
        expect 0 '{"held":null}'
        hook "$engine" prepare
        hook "$engine" prepare
        expect 0 '*'
        hook "$engine" post-thaw
        expect 0 '{"held":null}'
        hook "$engine" thaw
        expect 0 '{"held":null}'
    done
    percentage
    nothing_left
    # As a drop-in.
    hook mysql freeze
    expect 0 '*position*'
    blocked write mysql
    hook mysql thaw
    expect 0 '{"held":true*'
    now
    echo "$((uptime / 1000))" >/run/stillpoint/active-test
    hook mysql freeze
    expect 0 ''
    rm /run/stillpoint/active-test
    nothing_left
}

case_denied() {
    local hba=/etc/postgresql/15/main/pg_hba.conf
    cp "$hba" "$here/tmp/hba"
    sed -i '1i local all postgres reject' "$hba"
    "${psql[@]}" -c 'SELECT pg_reload_conf()' >/dev/null
    hook postgresql probe
    expect 0 '*"state":"running"*"denied":"*pg_hba.conf*'
    hook postgresql prepare
    expect 77 '*pg_hba.conf*'
    cat "$here/tmp/hba" >"$hba"
    systemctl reload postgresql@15-main

    printf '[client]\nuser = stranger\n' >/root/.my.cnf
    hook mysql probe
    expect 0 '*"state":"running"*"denied":"*Access denied*'
    hook mysql prepare
    expect 77 '*Access denied*'
    rm /root/.my.cnf

    redis-cli config set requirepass "$secret" >/dev/null
    hook redis probe
    expect 0 '*"state":"running"*"denied":"*NOAUTH*'
    hook redis prepare
    expect 77 '*NOAUTH*'
    printf '6379 %s\n' 'wrong' >/etc/stillpoint/redis.auth
    hook redis prepare
    expect 77 '*WRONGPASS*'
    printf '6379 default %s\n' "$secret" >/etc/stillpoint/redis.auth
    hook redis prepare
    hook redis pre-freeze
    expect 0 '*position*'
    hook redis post-thaw
    expect 0 '{"held":true*'
    rm /etc/stillpoint/redis.auth
    REDISCLI_AUTH="$secret" redis-cli config set requirepass '' >/dev/null

    chmod 666 "$list"
    hook sqlite probe
    expect 0 '*"denied":"*nobody else can write*'
    hook sqlite prepare
    expect 1 '*nobody else can write*'
    chmod 644 "$list"
    nothing_left
}

# Something is in the way.
case_busy() {
    local client
    mariadb -e "UPDATE lab.plain SET n = SLEEP(60) WHERE '$(printf '%0100d' 0)' <> ''" >/dev/null 2>&1 &
    client=$!
    sleep 1.5
    hook mysql prepare STILLPOINT_PARAM_LOCK_WAIT=1s
    expect 0 '*'
    hook mysql pre-freeze STILLPOINT_PARAM_LOCK_WAIT=1s
    expect 75 'mysql: statement [0-9]* of root *: UPDATE lab.plain SET n = SLEEP(60) WHERE *000'
    check within 2 write mysql
    # Once it is gone the same session takes the lock.
    kill "$client"
    mariadb -NBe "SELECT CONCAT('KILL ', ID) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'UPDATE%SLEEP%'" | mariadb
    hook mysql pre-freeze STILLPOINT_PARAM_LOCK_WAIT=1s
    expect 0 '*position*'
    hook mysql post-thaw
    expect 0 '{"held":true*'

    mariadb -e 'UPDATE lab.probe SET n = SLEEP(60) LIMIT 1' >/dev/null 2>&1 &
    client=$!
    sleep 1.5
    hook mysql prepare STILLPOINT_PARAM_MODE=strict STILLPOINT_PARAM_LOCK_WAIT=1s
    hook mysql pre-freeze
    expect 75 'mysql: statement [0-9]* of root *UPDATE lab.probe*'
    hook mysql post-thaw
    expect 0 '{"held":null}'
    kill "$client"
    mariadb -NBe "SELECT CONCAT('KILL ', ID) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'UPDATE%SLEEP%'" | mariadb

    hook redis prepare
    redis-cli config set rdb-key-save-delay 30000000 >/dev/null
    redis-cli bgsave >/dev/null
    hook redis pre-freeze
    expect 0 '*"exact"*'
    hook redis post-thaw
    expect 0 '{"held":true*'
    check within 3 write redis
    hook redis prepare STILLPOINT_PARAM_LOCK_WAIT=1s
    expect 75 '*rdb_bgsave_in_progress*'
    redis-cli config set rdb-key-save-delay 0 >/dev/null
    pkill -P "$(pidof redis-server)" # its child that saves
    percentage

    hook sqlite prepare STILLPOINT_PARAM_LOCK_WAIT=500ms
    mkfifo "$here/tmp/in"
    sqlite3 -cmd '.timeout 9000' /srv/data/sqlite/load.db <"$here/tmp/in" >"$here/tmp/held" &
    client=$!
    exec 9>"$here/tmp/in"
    echo "BEGIN IMMEDIATE; SELECT 'held';" >&9
    by 9 test -s "$here/tmp/held"
    hook sqlite pre-freeze
    expect 75 '*locked*'
    exec 9>&-
    wait "$client"
    hook sqlite pre-freeze
    expect 0 '*position*'
    hook sqlite post-thaw
    expect 0 '{"held":true*'
    nothing_left
}

case_down() {
    systemctl stop postgresql@15-main mariadb redis-server
    for engine in postgresql mysql redis; do
        hook "$engine" probe
        expect 0 '*"state":"stopped"*'
        hook "$engine" prepare
        expect 1 '*not running*'
        hook "$engine" post-thaw
        expect 0 '{"held":null}'
    done
    mv "$list" "$list.away"
    hook sqlite probe
    expect 0 '{"state":"absent"}'
    echo '/srv/data/sqlite/not there.db' >"$list"
    hook sqlite probe
    expect 0 '*"denied":"*not there.db*is not there"*'
    hook sqlite prepare
    expect 1 '*is not there*'
    [[ ! -e '/srv/data/sqlite/not there.db' ]] || bad 'a missing database was made'
    mv "$list.away" "$list"
    systemctl start postgresql@15-main mariadb redis-server
    nothing_left
}

# The engines take no writes: a replica, a server or a file that is read-only. They are held all the same; who lets nobody in is refused.
case_read_only() {
    local fixed=/srv/data/sqlite/fixed.db
    install -o postgres -g postgres /dev/null /var/lib/postgresql/15/main/standby.signal
    systemctl restart postgresql@15-main
    hook postgresql probe
    expect 0 '*"state":"running","role":"replica"*'
    for mode in checkpoint backup; do
        hook postgresql prepare STILLPOINT_PARAM_MODE=$mode
        expect 0 '*'
        hook postgresql pre-freeze STILLPOINT_PARAM_MODE=$mode
        expect 0 '*"relation" : "atLeast", "lsn" : "[0-9A-F]*/*'
        hook postgresql post-thaw STILLPOINT_PARAM_MODE=$mode
        if [[ $mode == backup ]]; then expect 0 '{"held":true*'; else expect 0 '{"held":null}'; fi
    done
    # A standby that lets nobody in while it recovers: told in its own words, and nothing is prepared.
    "${psql[@]}" -c 'ALTER SYSTEM SET hot_standby = off' || echo 'hot_standby = off' >>/var/lib/postgresql/15/main/postgresql.auto.conf
    systemctl restart --no-block postgresql@15-main
    by 20 eval '[[ $("${psql[@]}" -c "SELECT 1" 2>&1) == *"not accepting"* ]]'
    hook postgresql prepare
    [[ $code != 0 && $err == *'not accepting'* ]] || bad "a standby that lets nobody in: $code '$out' '$err'"
    sed -i /hot_standby/d /var/lib/postgresql/15/main/postgresql.auto.conf
    rm /var/lib/postgresql/15/main/standby.signal
    systemctl restart postgresql@15-main
    "${psql[@]}" -c 'ALTER ROLE postgres SET default_transaction_read_only = on'
    hook postgresql prepare
    expect 0 '*'
    hook postgresql pre-freeze
    expect 0 '*"relation" : "atLeast"*'
    hook postgresql post-thaw
    "${psql[@]}" -c 'SET default_transaction_read_only = off' -c 'ALTER ROLE postgres RESET default_transaction_read_only'

    mariadb -e 'SET GLOBAL read_only = 1'
    redis-cli replicaof 127.0.0.1 1 >/dev/null
    for engine in mysql redis; do
        hook "$engine" probe
        expect 0 '*"state":"running"*'
        [[ $engine != redis || $out == *'"role":"replica"'* ]] || bad "no replica: $out"
        hook "$engine" prepare
        expect 0 '*'
        hook "$engine" pre-freeze
        expect 0 '*"relation":"exact"*'
        hook "$engine" post-thaw
        expect 0 '{"held":true*'
    done
    redis-cli replicaof no one >/dev/null
    mariadb -e 'SET GLOBAL read_only = 0'

    # Nobody can write to that one: its read lock is as good, beside the other's.
    sqlite3 "$fixed" 'CREATE TABLE probe (n int)'
    chattr +i "$fixed"
    echo "$fixed" >>"$list"
    hook sqlite prepare
    hook sqlite pre-freeze
    expect 0 '*load.db*fixed.db*'
    blocked write sqlite
    hook sqlite post-thaw
    expect 0 '{"held":true*'
    chattr -i "$fixed"
    rm "$fixed"
    sed -i '\|/fixed.db$|d' "$list"
    for engine in postgresql mysql redis sqlite; do check within 5 write "$engine"; done
    percentage
    nothing_left
}

# The engines crash right after a cut and recover to what was recorded.
case_recovers() {
    local position wrong rows writer
    # Not even then is a commit lost that the position knows; and a copy in which more is committed stays whole.
    mariadb -e 'SET GLOBAL innodb_flush_log_at_trx_commit = 0'
    hook mysql prepare
    (while :; do echo 'INSERT INTO lab.probe VALUES (1);'; done | mariadb) >/dev/null 2>&1 &
    writer=$!
    sleep 0.5
    hook mysql pre-freeze
    position=${out#*position\":}
    rows=$(read_from mysql)
    systemctl kill --signal=KILL mariadb
    kill "$writer"
    hook mysql post-thaw
    expect 0 '{"held":false*'
    by 30 mariadb -e 'SELECT 1'
    check test "$(read_from mysql)" = "$rows"
    check within 5 write mysql
    hook mysql verify STILLPOINT_PARAM_RECORDED_POSITION="${position%\}}"
    expect 0 '{"whole":true*all tables OK*'
    wrong=${position/\"gtid\":\"0-1-/\"gtid\":\"0-1-9}
    hook mysql verify STILLPOINT_PARAM_RECORDED_POSITION="${wrong%\}}"
    expect 0 '{"whole":false*'

    hook postgresql prepare
    hook postgresql pre-freeze
    position=${out#*position\":}
    hook postgresql post-thaw
    systemctl kill --signal=KILL postgresql@15-main
    systemctl restart postgresql@15-main
    hook postgresql verify STILLPOINT_PARAM_RECORDED_POSITION="${position%\}}"
    expect 0 '{"whole":true,"detail":"pg_amcheck clean*'
    wrong=${position/\"lsn\" : \"0/\"lsn\" : \"F}
    hook postgresql verify STILLPOINT_PARAM_RECORDED_POSITION="${wrong%\}}"
    expect 0 '{"whole":false*before the recorded*'

    # In a standby, and where that is the default, nothing can be created.
    install -o postgres -g postgres /dev/null /var/lib/postgresql/15/main/standby.signal
    systemctl restart postgresql@15-main
    hook postgresql verify STILLPOINT_PARAM_RECORDED_POSITION="${position%\}}"
    expect 0 '{"whole":true,"detail":"without pg_amcheck, as the server is a standby*'
    "${psql[@]}" -c 'SELECT pg_promote()' >/dev/null
    "${psql[@]}" -c 'ALTER ROLE postgres SET default_transaction_read_only = on'
    hook postgresql verify STILLPOINT_PARAM_RECORDED_POSITION="${position%\}}"
    expect 0 '{"whole":true,"detail":"without pg_amcheck, as the server is read-only*'
    "${psql[@]}" -c 'SET default_transaction_read_only = off' -c 'ALTER ROLE postgres RESET default_transaction_read_only'

    for engine in redis sqlite; do
        hook "$engine" verify
        expect 0 '{"whole":true*'
    done

    # INFO counts every kind of error for ever: one that was answered while it loaded once does not say that it loads now.
    redis-cli eval "return redis.error_reply('LOADING once')" 0 >/dev/null 2>&1
    [[ $(redis-cli info errorstats) == *errorstat_LOADING* ]] || bad "redis does not count the error"
    hook redis probe
    expect 0 '*"state":"running"*'

    # A server on another libc than its databases were made on warns at each login.
    "${psql[@]}" -c "UPDATE pg_database SET datcollversion = '0.1' WHERE datname = 'postgres'"
    [[ $("${psql[@]}" -c 'SELECT 1' 2>&1) == *WARNING* ]] || bad "postgresql does not warn"
    hook postgresql probe
    expect 0 '*"state":"running","role":"primary","version":"15.*'
    hook postgresql verify
    expect 0 '{"whole":true*'
    "${psql[@]}" -c "UPDATE pg_database SET datcollversion = NULL WHERE datname = 'postgres'"
}
