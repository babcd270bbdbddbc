# SPDX-License-Identifier: Apache-2.0
# Names with every character that a shell, SQL or JSON could take for something else; sourced by guest.sh.
# "NAMES engine BASE64,…" is what there was, "NAMED engine ANSWER" what the hook made of it; the host compares.
# shellcheck shell=bash
# shellcheck disable=SC1003,SC2016,SC2154 # meant as they are; set by guest.sh

names=(
    'a b' ' leading' 'trailing ' 'two  blanks' "it's" "''" "'" 'say "hi"' '""' '"' '\' '\\' 'a\nb' '\u0041' "\\'" '\"'
    '$(touch pwned)' '`touch pwned`' '$HOME' '${HOME}' '$$' '$1' '$' '-' '-rf' '--' '--help' '-v x' ';' '; true' "'; --"
    '*' '?' '[a-z]' '{a,b}' '~' '~root' '!' '!!' '#' '#x' '&' '&& true' '|' '>' '<' '<<XX' 'XX' '(' ')' '=' 'a=b' ',' ':' '%' '%s%n' '@'
    $'tab\tx' $'return\r' $'escape\e[31m' $'bell\a' $'delete\x7f' 'ünïcödé' '日本語' '🦜' $'\u202eright' 'null' '0' '1e5' '^'
    'stillpoint ended' '.print x' '|x|y|' '{"held":true}'
)

encoded() {
    local name all=''
    for name; do all=$all,$(printf %s "$name" | base64 -w 0); done
    echo "${all#,}"
}

# Only what one line of the list can hold: no line end and no slash.
case_sqlite_names() {
    local folder=/srv/data/sqlite/names name
    mkdir "$folder"
    cp "$list" "$here/tmp/list"
    sqlite3 "$here/tmp/new.db" 'CREATE TABLE probe (n int);'
    for name in "${names[@]}"; do cp "$here/tmp/new.db" "$folder/$name"; done
    printf '%s\n' "${names[@]/#/$folder/}" >"$list"
    echo "NAMES sqlite $(encoded "${names[@]/#/$folder/}")"
    hook sqlite probe
    expect 0 '*"state":"running"*'
    hook sqlite prepare
    hook sqlite pre-freeze
    expect 0 '*position*'
    echo "NAMED sqlite $out"
    for name in "${names[@]}"; do
        sqlite3 "$folder/$name" 'INSERT INTO probe VALUES (1)' 2>/dev/null && bad "not locked: $name"
    done
    hook sqlite post-thaw
    expect 0 '{"held":true*'
    sqlite3 "$folder/${names[0]}" 'INSERT INTO probe VALUES (1)' || bad 'still locked'
    hook sqlite verify
    expect 0 "{\"whole\":true*ok, ${#names[@]} databases*"
    cat "$here/tmp/list" >"$list"
    rm -r "$folder"
    [[ ! -e /pwned ]] || bad 'a name was run as a command'
    nothing_left
}

# Rows without a database behind them, because sixty databases do not fit on the lab's disk.
case_postgresql_names() {
    local name sql='BEGIN; SET LOCAL allow_system_table_mods = on; CREATE TEMP TABLE new ON COMMIT DROP AS SELECT * FROM pg_database LIMIT 1;' number=90000
    local all=("${names[@]}" $'line\nend' $'\n' 'a/b' '/' "$(printf '%063d' 0)")
    for name in "${all[@]}"; do
        sql+="UPDATE new SET oid = $((number++)), datistemplate = false, datallowconn = false,
            datname = convert_from(decode('$(printf %s "$name" | base64 -w 0)', 'base64'), 'UTF8')::name; INSERT INTO pg_database SELECT * FROM new;"
    done
    "${psql[@]}" -o /dev/null <<<"$sql COMMIT;" || bad 'the names were not made'
    echo "NAMES postgresql $(encoded "${all[@]}" postgres)"
    hook postgresql prepare
    hook postgresql pre-freeze
    expect 0 '*position*'
    echo "NAMED postgresql $out"
    hook postgresql post-thaw
    "${psql[@]}" -c 'BEGIN; SET LOCAL allow_system_table_mods = on; DELETE FROM pg_database WHERE oid >= 90000; COMMIT' >/dev/null
    nothing_left
}
