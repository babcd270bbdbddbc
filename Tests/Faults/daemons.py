# SPDX-License-Identifier: Apache-2.0
"""libvirtd killed at the freeze, the cut, the thaw and the commit, and started again after a while; the baseline."""

import os
import signal
import subprocess
import threading
import time

import oracle
import world
from judge import Judge, resume, row, snapshot, target
from world import MARK, virsh


def away(daemon, seconds):
    """From its end on; the thread ends when it answers again."""

    def bring_back():
        time.sleep(seconds)
        daemon.start()

    thread = threading.Thread(target=bring_back)
    thread.start()
    return thread


def ours(table, daemon, short):
    lost(table, daemon, short)
    unsaved(table, daemon, short)
    on = target("plain")
    places = ["guest.freeze#1:before", "guest.freeze#1:during", "guest.freeze#1:after", "hypervisor.cut#1:before",
              "hypervisor.cut#1:during", "hypervisor.cut#1:after", "guest.thaw#1:before", "guest.thaw#1:during",
              "guest.thaw#1:after", "hypervisor.register#1:before", "hypervisor.merge#1:during"]
    delays = {"guest.freeze": 0.02, "hypervisor.cut": 0.012, "guest.thaw": 0.01, "hypervisor.merge": 0.1}
    cases = [(place, seconds) for place in places for seconds in (0, 5, 60)]
    for place, seconds in table.mine(cases if not short else [("hypervisor.cut#1:before", 0)]):
        name, moment = place.split(":")
        judge = Judge("daemon", f"{name} {moment}, back after {seconds} s", "plain")
        words = snapshot("plain")
        if name.startswith("hypervisor.merge"):
            on.stillpoint(*words)
            words = ["commit", on.name, "-q"]
        begin = time.monotonic()
        pid = daemon.pid()
        if moment == "during":
            kill = f"(sleep {delays[name[:-2]]}; kill -9 {pid}) >/dev/null 2>&1 &"
            process = on.spawn(words, f"{name}:before:run", {"STILLPOINT_FAILPOINT_RUN": kill})
            while daemon.pid() == pid and process.poll() is None:
                time.sleep(0.005)
        else:
            process = on.halt(words, place)
            daemon.kill()
        # The run had come there, and the daemon that it talked to is gone.
        judge.fired = bool(world.read(on.mark_file)) and daemon.pid() != pid
        resume(process)
        daemon.kill()
        thread = away(daemon, seconds)
        ended = on.finish(process, begin, 300)
        thread.join()
        judge.ended = ended
        if virsh("domstate", on.name) == "shut off":
            judge.case += " (lost by libvirt)"
            judge.problems += found_again(on)
        judge.demand(on.awaits_agent(180), "the agent does not answer")
        if oracle.graph(on):
            judge.demand(ended.status in (25, 30, 69), f"they disagree, and it exits {ended.status}")
            told = on.stillpoint("doctor", on.name)
            judge.demand(told.status == 25, f"they disagree, and doctor exits {told.status}")
            repaired = on.stillpoint("recover", on.name, "--repair")
            judge.demand(repaired.status in (0, 25), f"recover --repair exits {repaired.status}")
            before = oracle.definition(on)
            again = on.stillpoint("recover", on.name, "--repair")
            judge.demand(again.status == repaired.status, f"the second recover --repair exits {again.status}")
            judge.demand(before == oracle.definition(on), "the second recover --repair changed the domain")
            judge.case += " (quarantine)"
            judge.thawed_within(12)
            judge.measure()
            judge.problems += mended(on)
            # What the disagreement held up is ended now, once.
            judge.recover()
            judge.recovered = repaired.status
            judge.settle()
        else:
            if words[0] == "commit":
                judge.demand(ended.status in (0, 69, 75), f"the commit exits {ended.status}: {ended.last_line}")
            else:
                judge.has_ended(ended)
            judge.aftermath(thawed=12)
        judge.demand(judge.frozen < 10_500, f"frozen for {judge.frozen} ms, 10 s were promised")
        table.add(judge.row())


def lost(table, daemon, short):
    """The same made on purpose, where no guest has to answer: with a commit that was killed in each of its states."""
    on = target("bare")
    places = ["hypervisor.merge#1:before", "hypervisor.merge#1:after", "journal.removing#1:after"]
    for place in table.mine(places[-1 if short else 0:]):
        judge = Judge("daemon", f"the domain lost, {place.replace(':', ' ')}", "bare")
        on.stillpoint(*snapshot("bare"))
        judge.was_killed(on.stillpoint("commit", on.name, "-q", failpoint=f"{place}:kill"))
        daemon.kill()
        for kind in ("xml", "pid"):
            os.unlink(f"/run/libvirt/qemu/{on.name}.{kind}")
        daemon.start()
        judge.demand(virsh("domstate", on.name) == "shut off", "the domain was not lost")
        judge.problems += found_again(on)
        judge.aftermath()
        table.add(judge.row())


def unsaved(table, daemon, short):
    """libvirt cannot write down that the disks have switched, and is killed before it can: its next daemon knows nothing of
    the overlays (9.0). Where no guest has to answer."""
    on = target("bare")
    folders = [["/run/libvirt/qemu"], ["/etc/libvirt/qemu"], ["/run/libvirt/qemu", "/etc/libvirt/qemu"]]
    cases = [(chosen, killed) for chosen in folders for killed in (False, True)]
    quarantined = 0
    for chosen, killed in table.mine(cases[-1:] if short else cases):
        judge = Judge("daemon", f"not writable at the cut: {' '.join(chosen)}{', libvirtd killed' if killed else ''}", "bare")
        lock = "; ".join(f"mount --bind {folder} {folder}; mount -o remount,bind,ro {folder}" for folder in chosen)
        judge.ended = on.stillpoint(*snapshot("bare"), failpoint="hypervisor.cut#1:before:run",
                                    environment={"STILLPOINT_FAILPOINT_RUN": lock})
        if killed:
            daemon.kill()
        for folder in chosen:
            subprocess.run(["umount", "-l", folder], check=True)
        if killed:
            daemon.start()
        on.write()
        moved = any(chain[0] != on.disks[disk] for disk, chain in oracle.chains(on).items())
        judge.demand(judge.ended.status == 25 if moved else judge.ended.status == 22,
                     f"{'moved' if moved else 'not moved'}, and it exits {judge.ended.status}: {judge.ended.last_line}")
        if oracle.graph(on):
            quarantined += 1
            judge.case += " (quarantine)"
            for words in (["doctor", on.name], ["snapshot", on.name, "--name", "other", "--no-freeze", "-q"],
                          ["commit", on.name, "-q"], ["recover", on.name]):
                told = on.stillpoint(*words)
                judge.demand(told.status == 25, f"they disagree, and {words[0]} exits {told.status}: {told.last_line}")
            on.stillpoint("recover", on.name, "--repair")
            judge.problems += mended(on)
        judge.aftermath()
        table.add(judge.row())
    if table.parts == 1 and not quarantined:
        table.add(row("daemon", "a quarantine", fired=False, survived=False, why="not made: libvirt forgot nothing"))


def found_again(on):
    """Killed in the middle of a switch, libvirtd 9.0 can leave a state that its next start does not read (`unknown mirror job
    type ''`): to it a guest is off that runs. Whatever recover does then, no file goes that this QEMU has open."""
    qemu = [pid for pid, line in world.processes() if "qemu-system" in line.split("\0")[0] and on.uuid in line]
    problems = [] if qemu else ["there is no QEMU"]
    on.stillpoint("recover", on.name)
    for pid in qemu:
        held = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        problems += [f"QEMU has it open: {path}" for path in held if path.startswith(on.folder) and "deleted" in path]
        os.kill(pid, signal.SIGKILL)
    time.sleep(1)
    virsh("start", on.name)
    if on.mountpoints:
        on.awaits_agent(180)
        on.watch()
    return problems


def mended(on):
    """The saved definition names what QEMU writes to; the running one does after the guest's next start, which is done
    here: only then do libvirt's two views come from one place again."""
    chains = oracle.chains(on)
    saved = on.images(saved=True)
    problems = [f"{disk}: the saved XML says {saved[disk]}, QEMU writes to {chain[0]}"
                for disk, chain in chains.items() if saved[disk] != chain[0]]
    if not problems:
        virsh("shutdown", on.name, check=False)
        end = time.monotonic() + (60 if on.mountpoints else 0)
        while virsh("domstate", on.name) != "shut off" and time.monotonic() < end:
            time.sleep(0.5)
        virsh("destroy", on.name, check=False)
        virsh("start", on.name)
        if on.mountpoints:
            if not on.awaits_agent(180):
                return ["it does not start from the repaired definition"]
            on.watch()
        problems += oracle.graph(on)
    return problems


def baseline(table, daemon, short):
    """virsh's own way, judged by the same oracle; there is no recover, so 15 s have to do."""
    on = target("plain")
    command = ["virsh", "-q", "snapshot-create-as", on.name, "virsh", "--disk-only", "--atomic", "--quiesce",
               "--no-metadata"]
    freeze = "until [ -e /run/qga.state.isfrozen ]; do :; done; "
    cases = [
        ("virsh killed", lambda process: process.kill(), None),
        ("qemu-ga killed in the window", None, freeze + f"pkill -KILL qemu-ga {MARK}"),
        ("qemu-ga stopped in the freeze", None, freeze + f"pkill -STOP qemu-ga {MARK}; sleep 14; pkill -CONT qemu-ga"),
        ("libvirtd killed, back after 0 s", "daemon", None),
        ("libvirtd killed later, back after 0 s", "daemon", None),
    ]
    for turn, (name, what, line) in table.mine(enumerate(cases * (1 if short else 2))):
        judge = Judge("virsh", f"{name}, {turn // len(cases) + 1}", "plain")
        if line:
            on.unmade()
            on.type(f"({line}) >/dev/null 2>&1 &", 20)
        process = subprocess.Popen(command, **world.QUIET)
        begin = time.monotonic()
        if what:
            delay = 0.9 if "later" in name else 0.3
            time.sleep(delay)
            judge.fired = process.poll() is None
            if what == "daemon":
                pid = daemon.pid()
                daemon.kill()
                judge.fired = judge.fired and daemon.pid() != pid
                daemon.start()
            else:
                what(process)
        judge.ended = on.finish(process, begin, 60)
        judge.thawed_within(15)
        if judge.problems:
            on.type("echo j >/proc/sysrq-trigger", 20)
            on.awaits_agent(30)
            virsh("domfsthaw", on.name, check=False)
        # Nobody starts it again where it was killed, and nothing can be asked without it.
        if not on.awaits_agent(20):
            on.type("rm -f /run/qga.state.isfrozen; systemctl restart qemu-guest-agent", 20)
            on.awaits_agent(60)
        if line:
            judge.fired = on.made()
            if not judge.fired:
                on.type("kill $!", 20)
        judge.measure()
        judge.problems += oracle.graph(on) + oracle.orphans(on)
        table.add(judge.row())
        on.awaits_agent(30)
        if oracle.graph(on):
            mended(on)
        on.restore()
