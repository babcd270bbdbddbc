# SPDX-License-Identifier: Apache-2.0
"""The guest's agent killed, stopped, restarted; and one that lies."""

import os
import subprocess
import time

import world
from judge import Judge, back, resume, row, snapshot, target
from world import MARK

# What a case left to do in a while is waited for, what waits still for its moment is not.
AGAIN = ("[ -e /run/faults.mark ] || kill $!; wait; pkill -CONT qemu-ga; "
         "systemctl reset-failed qemu-guest-agent; systemctl start qemu-guest-agent")


def faulty(table, daemon, short):
    cases = [
        ("killed before the freeze", "guest.freeze#1:before", f"pkill -KILL qemu-ga {MARK}"),
        ("stopped before the freeze, which runs late", "guest.freeze#1:before",
         f"pkill -STOP qemu-ga {MARK}; (sleep 14; pkill -CONT qemu-ga) >/dev/null 2>&1 &"),
        ("stopped before the freeze, soon on again", "guest.freeze#1:before",
         f"pkill -STOP qemu-ga {MARK}; (sleep 2; pkill -CONT qemu-ga) >/dev/null 2>&1 &"),
        ("killed inside the freeze", "guest.freeze#1:before",
         f"(until [ -e /run/qga.state.isfrozen ]; do :; done; pkill -KILL qemu-ga {MARK}) >/dev/null 2>&1 &"),
        ("stopped inside the freeze", "guest.freeze#1:before",
         f"(until [ -e /run/qga.state.isfrozen ]; do :; done; pkill -STOP qemu-ga {MARK}; sleep 14; "
         "pkill -CONT qemu-ga) >/dev/null 2>&1 &"),
        ("killed in the window", "guest.freeze#1:after", f"pkill -KILL qemu-ga {MARK}"),
        ("stopped in the window", "guest.freeze#1:after",
         f"pkill -STOP qemu-ga {MARK}; (sleep 14; pkill -CONT qemu-ga) >/dev/null 2>&1 &"),
        ("restarted in the window", "guest.freeze#1:after", "p=$(pgrep -x qemu-ga); systemctl --no-block restart "
         f"qemu-guest-agent; (while [ -e /proc/$p ]; do sleep 0.1; done; : {MARK}) >/dev/null 2>&1 &"),
        ("stopped and gone in the window", "guest.freeze#1:after", "pkill -STOP qemu-ga; (systemctl mask --runtime "
         f"qemu-guest-agent && pkill -KILL qemu-ga {MARK}; sleep 14; systemctl unmask --runtime qemu-guest-agent; "
         "systemctl start qemu-guest-agent) >/dev/null 2>&1 &"),
    ]
    on = target("plain")
    for name, place, line in table.mine(cases if not short else [cases[5]]):
        tell(table, lambda: typed(on, name, place, line))
    # Within the time that the guardian and the dead-man reckon with, and beyond it.
    for seconds in table.mine((5, 14) if not short else (14,)):
        tell(table, lambda: held(on, seconds))
    if not short:
        for line, mended in table.mine([("mount -t tmpfs none /srv/data", "umount /srv/data"),
                                        ("umount -l /srv/data", "mount LABEL=data /srv/data")]):
            tell(table, lambda: hidden(target("base"), line, mended))


def tell(table, attempt):
    """What became of a fault; tried once more where the guest was too slow to get it."""
    judge = attempt()
    table.add((judge if judge.fired else attempt()).row())


def typed(on, name, place, line):
    judge = Judge("agent", name, "plain")
    on.unmade()
    begin = time.monotonic()
    process = on.halt(snapshot("plain"), place)
    taken = on.type(line, 20) is not None
    resume(process)
    ended = on.finish(process, begin, 240)
    judge.demand(on.awaits_agent(), "the agent is not back")
    judge.fired = taken and ended.fired and on.made()
    if "inside the freeze" in name:
        # After the reply it was the window.
        judge.fired = judge.fired and ended.frozen is None
    judge.has_ended(ended)
    judge.aftermath(thawed=12)
    judge.demand(judge.frozen < 10_500, f"frozen for {judge.frozen} ms, 10 s were promised")
    on.type(AGAIN, 40)
    return judge


def hidden(on, line, mended):
    """A frozen filesystem to which no path leads when the agent thaws: it thaws what it finds, and says that all is well."""
    judge = Judge("agent", f"{line} in the window", "base")
    on.unmade()
    on.sh("systemctl stop redis-server")
    begin = time.monotonic()
    process = on.halt([*snapshot("base"), "--no-hooks"], "guest.freeze#1:after", timeout=180)
    taken = on.type(f"{line} {MARK}", 20) is not None
    resume(process)
    ended = on.finish(process, begin, 240)
    judge.fired = taken and ended.fired and on.made()
    # As somebody would mount it again.
    on.type(mended, 20)
    judge.has_ended(ended)
    judge.demand(ended.level == "crash", f"it is called {ended.level}")
    judge.aftermath(thawed=5)
    on.sh("systemctl start redis-server")
    return judge


def held(on, seconds):
    """Another client's call has the agent for that long, so that ours waits in libvirtd for its turn, and is carried out when
    the run that asked for it is gone."""
    judge = Judge("agent", f"held by another for {seconds} s, frozen after the end", "plain")
    on.unmade()
    begin = time.monotonic()
    process = on.halt(snapshot("plain"), "guest.freeze#1:before")
    taken = on.type(f"pkill -STOP qemu-ga; (sleep {seconds}; pkill -CONT qemu-ga) >/dev/null 2>&1 & "
                    f"(until [ -e /run/qga.state.isfrozen ]; do :; done; : {MARK}) >/dev/null 2>&1 &", 20) is not None
    other = subprocess.Popen(["virsh", "-q", "qemu-agent-command", on.name, "--timeout", "20", '{"execute":"guest-ping"}'],
                             **world.QUIET)
    time.sleep(1)
    resume(process)
    # Until the freeze has come to libvirtd.
    time.sleep(1.5)
    killed = time.time()
    process.kill()
    was_held = other.poll() is None
    ended = on.finish(process, begin)
    other.communicate()
    judge.demand(on.awaits_agent(), "the agent is not back")
    judge.fired = taken and ended.fired and was_held and on.made()
    judge.was_killed(ended)
    judge.aftermath(killed, guardian=60, thawed=12)
    judge.demand(judge.frozen < 10_500, f"frozen for {judge.frozen} ms, 10 s were promised")
    on.type(AGAIN, 40)
    return judge


LIES = {
    "guest-fsfreeze-freeze-list": ["late", "lost", "doubled", "drip", "0", "2", "-1", "99999", '"1"', "1.5", "null",
                                   "true", "[1]", "9223372036854775808", "error", "escapes", "no newline", "huge", "deep",
                                   "deep 33", "NUL", "no UTF-8", "surrogate", "no JSON", "twice", "old id"],
    "guest-fsfreeze-thaw": ["late", "lost", "doubled", "drip", "0", "2", "-1", '"1"', "null", "error", "escapes", "huge",
                            "deep 33", "no JSON", "NUL"],
    "guest-exec-status": ["lost", "large", "escapes", "deep 33", "null", '{"exited":true}', '{"exited":false}', "no JSON"],
    "guest-exec": ["lost", "wrong pid", '{"pid":-1}', '{"pid":"1"}', "escapes"],
    "guest-get-fsinfo": ["[]", "large", "escapes", "null", '[{"name":"a","mountpoint":"/\\u001b[2J","type":"ext4","disk":[]}]',
                         '[{"name":"a","mountpoint":"/nowhere","type":"ext4","disk":[]}]', "no JSON"],
    "guest-info": ["large", "null", '{"version":"\\u001b[2J","supported_commands":[]}', "endless"],
    "guest-fsfreeze-status": ['"frozen"', '"melted"', "lost"],
    "guest-get-osinfo": ['{"pretty-name":"\\u001b]0;x\\u0007\\u202e","id":"\\u001b[31m"}', "lost"],
    "guest-sync": ["lost", "0", "no JSON"],
    "guest-ping": ["lost", "deep 33"],
}
# Replies with which libvirt may give the agent up, until its channel is opened anew.
BREAKING = {"no newline", "huge", "large", "deep", "NUL", "no UTF-8", "surrogate", "no JSON", "twice"}
# Once more in words for people, who have terminals: nothing that a guest says may reach them raw.
IN_WORDS = [("guest-fsfreeze-freeze-list", "escapes"), ("guest-exec", "escapes"), ("guest-exec-status", "escapes"),
            ("guest-get-fsinfo", "escapes"), ("guest-get-fsinfo", LIES["guest-get-fsinfo"][4]),
            ("guest-info", LIES["guest-info"][2]), ("guest-get-osinfo", LIES["guest-get-osinfo"][0])]
FEW = {"guest-fsfreeze-freeze-list": ["lost", "2"], "guest-fsfreeze-thaw": ["0"]}

BEGIN = """
set -e
cat >/run/liar && chmod 700 /run/liar
rm -rf /run/liar.end /run/liar.mark /run/liar.begun /run/liar.sock /run/liar.d
cat >/run/liar.sh <<'END'
sleep 0.5
systemctl stop qemu-guest-agent
mkdir -p /run/liar.d
/usr/sbin/qemu-ga -m unix-listen -p /run/liar.sock -t /run/liar.d -f /run/liar.d/pid &
until [ -S /run/liar.sock ]; do sleep 0.05; done
/usr/bin/python3 /run/liar "$@"
kill -CONT $! && kill -KILL $!
rm -f /run/qga.state.isfrozen
systemctl reset-failed qemu-guest-agent
systemctl start qemu-guest-agent
END
systemd-run --quiet --collect --unit=liar /bin/sh /run/liar.sh "$@"
"""


def waits(command, lie):
    """Seconds that a run may wait for what was lied about, beyond a clean one: the product's own deadlines, and 5 s in which
    libvirt synchronises with the agent behind each call that was not answered."""
    call, window, patience = 5 + 5, 5, 120
    match command:
        case "guest-fsfreeze-freeze-list":
            # The freeze ends with the window; one thaw is answered, or none before the patience is over.
            return window + (patience if lie in BREAKING else 0) + call
        case "guest-fsfreeze-thaw":
            # A count is believed. All else is no proof, and is asked for again.
            return (0 if lie in ("0", "2", "doubled") else patience) + call
        case "guest-exec-status":
            # Survey, dead-man, and calling it off have 20, 20 and 10 s, each with a call that is under way then.
            return 20 + 20 + 10 + 3 * call
        case "guest-exec":
            return 3 * call
        case _:
            return call


def lied_to(on, program, lie, command, words):
    """A run beside the liar; and whether it came to lie."""
    on.sh(BEGIN, lie, command, text=program)
    # Before that the old agent may still answer, and be gone when the run asks.
    on.type("until [ -e /run/liar.begun ]; do sleep 0.1; done", 60)
    time.sleep(0.5)
    # The channel was closed and opened again: libvirt asks anew.
    if command not in ("guest-ping", "guest-sync"):
        on.awaits_agent(20)
    else:
        time.sleep(3)
    ended = on.measured(*words)
    told = on.type("touch /run/liar.end; [ -e /run/liar.mark ] && echo has'-'lied", 30) or ""
    time.sleep(0.5)
    return ended, "has-lied" in told


def lying(table, daemon, short):
    on = target("plain")
    with open(os.path.join(world.HERE, "guest/liar")) as file:
        program = file.read()
    # Through the liar too, who passes on all that it is not told to lie about. The first is slower by what is not in memory.
    clean = []
    for _ in range(2):
        ended, _ = lied_to(on, program, "none", "none", snapshot("plain"))
        on.awaits_agent(100)
        back(on)
        clean.append(ended)
    if any(ended.status not in (0, 11) for ended in clean):
        table.add(row("liar", "clean", exit=clean[0].status, survived=False, why=clean[0].last_line))
        return
    slowest, largest = max(ended.seconds for ended in clean), max(ended.mebibytes for ended in clean)
    cases = [(command, lie, snapshot("plain")) for command, lies in (FEW if short else LIES).items() for lie in lies]
    people = [word for word in snapshot("plain") if word not in ("--json", "-q")]
    cases += [(command, lie, people) for command, lie in IN_WORDS[:1 if short else None]]
    for command, lie, words in table.mine(cases):
        name = f"{command.removeprefix('guest-')} {lie}" + (", in words" if words is people else "")
        bound = round(slowest + waits(command, lie) + 1, 1)
        tell(table, lambda: lied(on, program, name, (lie, command, words), bound, largest))


def lied(on, program, name, told, bound, largest):
    judge = Judge("liar", name, "plain")
    judge.bound = bound
    ended, judge.fired = lied_to(on, program, *told)
    moved = on.images() != on.disks
    judge.demand(on.awaits_agent(100), "the agent is not back")
    judge.has_ended(ended)
    judge.demand(ended.seconds <= bound, f"it took {ended.seconds:.1f} s, its bound is {bound} s")
    judge.demand(ended.mebibytes <= largest + 32, f"it took {ended.mebibytes} MiB, a clean run {largest}")
    lie, command, _ = told
    is_true = lie in ("late", "doubled", "old id", "drip")
    if command == "guest-fsfreeze-freeze-list" and not is_true and moved and ended.json:
        judge.demand(ended.level in ("crash", "none"), f"{ended.level} was claimed")
    judge.aftermath(thawed=12)
    return judge
