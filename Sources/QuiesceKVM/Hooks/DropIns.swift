// SPDX-License-Identifier: Apache-2.0

public import Quiesce

/// Hooks as scripts that the guest agent itself runs around each of its freezes: for guests whose agent runs nothing else.
public struct DropIns: Sendable {
    struct File: Sendable, Hashable {
        /// Below the folder of the agent's configuration.
        var name: String
        var text: String
    }

    let domain: String
    let scripts: [File]

    /// In the order in which they take their locks.
    public init(_ choices: [HookChoice], for domain: String) {
        self.domain = domain
        scripts = choices.enumerated().map { index, choice in
            let number = String(index + 10)
            let instance = choice.parameters["instance"].map { "-" + Self.plain($0) } ?? ""
            return File(
                name: "fsfreeze-hook.d/stillpoint-\(number)-\(choice.hook.name)\(instance)",
                text: Self.script(choice, domain))
        }
    }

    /// The dispatcher last: without it the scripts are run by whatever is there.
    var files: [File] { scripts + [File(name: "fsfreeze-hook", text: Self.dispatcher)] }

    /// One sh script that puts all of it in place, to be run as root in the guest.
    public var installer: String {
        let place = files.map { file in
            let end = "STILLPOINT-" + SHA256.hex(of: Array(file.text.utf8)).prefix(16)
            return "place \(file.name) <<'\(end)'\n\(file.text)\(end)\n"
        }
        return """
            #!/bin/sh
            # Run as root in \(domain.filter { $0.isLetter || $0.isNumber || "._-".contains($0) }). \
            Installs hooks for the guest agent's own freeze.
            set -eu
            \(Self.prepare)
            \(Self.place)

            """ + place.joined() + Self.check
    }

    private static func plain(_ text: String) -> String {
        String(decoding: text.utf8.map { $0.isLetterOrDigit ? $0 : UInt8(ascii: "_") }.prefix(64), as: UTF8.self)
    }

    /// In single quotes, whatever it holds.
    static func quoted(_ text: String) -> String { "'\(text.replacing("'", with: "'\\''"))'" }

    private static func script(_ choice: HookChoice, _ domain: String) -> String {
        let variables = choice.parameters.sorted { $0.key < $1.key }.map { key, value in
            "export STILLPOINT_PARAM_\(HookRunner.upperSnake(key))=\(quoted(value))\n"
        }
        return """
            #!/bin/sh
            # \(choice.hook.name), SHA-256 \(choice.hook.sha256), written by stillpoint hooks install.
            export STILLPOINT_DOMAIN=\(quoted(domain))
            \(variables.joined())\(preamble)
            \(choice.hook.text)

            """
    }
}

extension DropIns {
    /// Where a run comes through guest-exec it leaves marks with the time of its last call, and no lock is taken twice. One
    /// that is ten minutes old is of a run that was given up.
    private static let isActive = #"""
        through_guest_exec() {
            read -r now _ </proc/uptime
            now=${now%%.*}
            for mark in /run/stillpoint/active-*; do
                [ -e "$mark" ] || continue
                read -r seen <"$mark"
                if [ "${seen:-0}" -le "$now" ] && [ "$((now - ${seen:-0}))" -lt 600 ]; then return 0; fi
                rm -f "$mark"
            done
            return 1
        }

        """#

    static let preamble =
        isActive + #"""
            export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
            export STILLPOINT_RUN=drop-in STILLPOINT_VERB="${1-}" STILLPOINT_LEASE_S=60 STILLPOINT_OUTCOME=unknown
            export STILLPOINT_MOUNTPOINTS=
            umask 077
            exec </dev/null
            case ${1-} in
                freeze | thaw | freezeFail)
                    ! through_guest_exec || exit 0
                    results=/run/stillpoint/drop-in/${0##*/}.$1
                    mkdir -p /run/stillpoint/drop-in || exit 1
                    if [ "$1" = freeze ]; then
                        # What does not run needs no lock.
                        found=$("$0" probe 2>"$results.log") || exit 1
                        case $found in *'"running"'* | *'"recovering"'* | *'"denied"'*) ;; *) exit 0 ;; esac
                    fi
                    exec >"$results.json" 2>"$results.log"
                    ;;
            esac
            cd / || exit 1
            """#

    /// Its whole freeze has 25 s, because no window is longer than 30 s.
    static let dispatcher = #"""
        #!/bin/sh
        # Written by stillpoint hooks install, in place of the sample that says all is well whatever its scripts do.
        # freeze: fsfreeze-hook.d in order; at the first failure what was begun is undone, the last first, and the agent,
        # told of it, freezes nothing. thaw: in reverse. What they wrote lies in /run/stillpoint/drop-in.
        export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
        umask 077
        results=/run/stillpoint/drop-in

        """# + isActive + #"""
            usable() {
                case $1 in
                    *~ | *.bak | *.orig | *.new | *.sample | *.rpmnew | *.rpmorig | *.rpmsave | *.dpkg-*) return 1 ;;
                esac
                case $passing$1 in yes*/stillpoint-*) return 1 ;; esac
                [ -f "$1" ] && [ -x "$1" ]
            }

            # call SCRIPT VERB SECONDS. Its output goes to files: a child that kept it open would hold the agent up for ever.
            call() {
                log=$results/${1##*/}.$2.log
                mkdir -p "$results" || return
                if command -v timeout >/dev/null; then
                    timeout -k 2 "$3" "$1" "$2" </dev/null >"$log" 2>&1
                else
                    "$1" "$2" </dev/null >"$log" 2>&1
                fi
            }

            # complain SCRIPT VERB CODE
            complain() {
                failed=1
                said=
                while IFS= read -r line; do said=$line; done <"$log"
                echo "fsfreeze-hook: ${1##*/} $2 ended with $3: $said" >&2
            }

            failed=0
            passing=no
            ! through_guest_exec || passing=yes
            case ${1-} in
                freeze)
                    shift
                    end=$((now + 25))
                    for script in "$0.d"/*; do
                        usable "$script" || continue
                        set -- "$script" "$@"
                        read -r now _ </proc/uptime
                        left=$((end - ${now%%.*}))
                        [ "$left" -gt 0 ] || left=1
                        call "$script" freeze "$left" || {
                            complain "$script" freeze "$?"
                            break
                        }
                    done
                    [ "$failed" = 1 ] || exit 0
                    for script; do call "$script" thaw 30 || complain "$script" thaw "$?"; done
                    exit 1
                    ;;
                thaw)
                    shift
                    for script in "$0.d"/*; do ! usable "$script" || set -- "$script" "$@"; done
                    for script; do call "$script" thaw 30 || complain "$script" thaw "$?"; done
                    exit "$failed"
                    ;;
                *) exit 0 ;;
            esac

            """#

    /// → $folder
    static let prepareFolder = #"""
        umask 022
        folder=/etc/qemu
        [ ! -d /etc/qemu-ga ] || folder=/etc/qemu-ga
        """#

    /// The folder, and what was installed before out of the way.
    static let prepare =
        prepareFolder + #"""

            mkdir -p "$folder/fsfreeze-hook.d"
            rm -f "$folder"/fsfreeze-hook.d/stillpoint-*
            hook=$folder/fsfreeze-hook
            if [ -f "$hook" ] && ! grep -q stillpoint "$hook"; then
                cp -p "$hook" "$hook.orig"
                echo "note the dispatcher that was there is kept as $hook.orig"
            fi
            """#

    /// `place NAME`: the file from stdin, all of it or none.
    static let place = #"""
        place() {
            file=$folder/$1
            cat >"$file.new"
            chmod 0755 "$file.new"
            mv -f "$file.new" "$file"
            echo "wrote $file"
        }
        """#

    /// Whether the agent runs it at all: it does so only where it was told to.
    static let check = #"""
        told=
        for process in /proc/[0-9]*; do
            { read -r name <"$process/comm"; } 2>/dev/null || continue
            [ "$name" = qemu-ga ] || continue
            ! tr '\0' ' ' <"$process/cmdline" | grep -qE ' (-F|--fsfreeze-hook)' || told=yes
        done
        if [ -z "$told" ] && ! grep -qsE '^[[:space:]]*fsfreeze-hook' /etc/qemu/qemu-ga.conf; then
            echo "note the agent does not run it yet: in /etc/qemu/qemu-ga.conf, below [general]:"
            echo "note     fsfreeze-hook=$folder/fsfreeze-hook"
        fi
        echo "note systemctl restart qemu-guest-agent"
        echo "note snapshots wait for these hooks inside the freeze: give them --max-freeze 30s"

        """#
}
