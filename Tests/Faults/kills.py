# SPDX-License-Identifier: Apache-2.0
"""Runs that are killed at every step, alone and with their guardian; two at once."""

import itertools
import os
import signal
import time

from judge import Judge, back, resume, row, snapshot, target
from scenes import break_off, break_off_merge, lay_out, leave, take, take_three, there
from walk import called, steps
from world import virsh


def killed(table, suite, kind, command, few, prepare=None, stays=None, or_else=None, again=1, lease=0):
    """A command killed before and after each of its steps.

    few: these steps alone, as the short way.
    stays: a layer that is none of the command's, and is there when recover has ended it.
    or_else: what the guest may read instead of what it read before.
    again: how often at each place inside the window.
    lease: seconds for which what it froze is left alone.
    """
    on = target(kind)
    places, window = steps(table, suite, on, command, few, prepare, or_else)
    chosen = (place for place in places for _ in range(again if place in window else 1))
    for place in table.mine(chosen):
        lay_out(on, prepare, or_else)
        judge = Judge(suite, f"{called(command)} {place.replace(':', ' ')}", kind)
        judge.stays = stays
        judge.was_killed(on.stillpoint(*command, failpoint=f"{place}:kill"))
        time.sleep(lease)
        judge.aftermath(judge.ended.killed_at, thawed=5 if lease else 0)
        if place in window:
            judge.is_in_window = True
            judge.demand(judge.after <= 2000, f"frozen for {judge.after} ms after the kill, 2 s were promised")
        table.add(judge.row())


def between_calls(table, suite, kind, command, prepare, step):
    """A merge killed after each of libvirt's calls: where a job is ready and nobody is left to switch, and where it has
    been switched and nobody has heard. Their number is another each time, so it goes on until none is left."""
    on = target(kind)
    was_ready = False
    for n in table.mine(itertools.count(1, step)):
        prepare(on)
        judge = Judge(suite, f"{command[0]} libvirt.call#{n} after", kind)
        ended = on.stillpoint(*command, failpoint=f"libvirt.call#{n}:after:kill")
        if not ended.fired:
            back(on)
            if f"libvirt.call#{n}:before" in ended.trace:
                # One that fails by itself and is meant to.
                continue
            break
        was_ready = was_ready or "ready='yes'" in virsh("dumpxml", on.name)
        judge.was_killed(ended)
        judge.aftermath(ended.killed_at)
        table.add(judge.row())
    # A layer from the middle goes without a switch.
    if not was_ready and step == table.parts == 1 and command[0] == "commit":
        table.add(row(suite, f"{command[0]} between ready and pivot", fired=False, survived=False,
                      why="not made: no kill left a job that was ready"))


def bare(table, daemon, short):
    few = short and ["images.stage#1:after", "hypervisor.cut#1:before", "hypervisor.cut#1:after", "catalogue.add#1:before",
                     "hypervisor.merge#1:after", "journal.removing#1:after", "images.remove#1:after"]
    name = target("bare").name

    killed(table, "bare-kill", "bare", snapshot("bare"), few)
    killed(table, "bare-kill", "bare", ["commit", name, "-q"], few, take)
    between_calls(table, "bare-kill", "bare", ["commit", name, "-q"], take, 12 if short else 1)
    killed(table, "bare-kill", "bare", ["revert", name, "faults", "--destroy", "-q"],
           short and ["life.powerOff#1:after", "life.define#1:after", "life.start#1:before"], take, or_else=there)
    if not short:
        killed(table, "bare-kill", "bare", ["revert", name, "--undo", "--destroy", "-q"], None, leave,
               or_else=lambda on: [dict(on.left)])
        killed(table, "bare-kill", "bare", ["prune", name, "--abandoned", "-q"], None, leave)
        killed(table, "bare-kill", "bare", ["prune", name, "--keep", "0", "-q"], None, leave)
        killed(table, "bare-kill", "bare", ["delete", name, "two", "-q"], None, take_three)
        # Two layers as one, and one disk of two, both out of the middle.
        killed(table, "bare-kill", "bare", ["prune", name, "--keep", "1", "-q"], None, take_three, "b.three")
        killed(table, "bare-kill", "bare", ["commit", name, "two", "--disk", "vda", "-q"], None, take_three, "b.two")
        between_calls(table, "bare-kill", "bare", ["delete", name, "two", "-q"], take_three, 1)
    # What is required cannot be reached without a freeze, so the snapshot is taken back: the steps of the undo.
    killed(table, "bare-kill", "bare", ["snapshot", name, "--name", "faults", "--no-freeze", "--require", "crash", "-q"],
           short and ["journal.windowClosed#1:after"])
    # Who clears up may be killed too.
    killed(table, "bare-kill", "bare", ["recover", name], short and ["catalogue.add#1:after"], break_off)
    if not short:
        killed(table, "bare-kill", "bare", ["recover", name], None, break_off_merge)


def one(table, daemon, short):
    few = short and ["guest.steady#1:after", "guest.freeze#1:after", "hypervisor.cut#1:after", "guest.thaw#1:after"]
    killed(table, "kill", "plain", snapshot("plain"), few, again=1 if short else 5)
    if not short:
        # By hand there is no guardian, and the lease ends inside the guest.
        name = target("plain").name
        killed(table, "kill", "plain", ["freeze", name, "--lease", "5s"], None, lambda on: on.stillpoint("thaw", name),
               lease=6)


def four(table, daemon, short):
    few = short and ["guest.freeze#1:after", "hypervisor.cut#1:after"]
    killed(table, "kill4", "base", snapshot("base"), few)


def with_guardian(table, daemon, short):
    """The dead-man is what is left."""
    places = ["guest.steady#1:after", "guardian.arm#1:after", "guest.freeze#1:before", "guest.freeze#1:after",
              "hypervisor.cut#1:before", "hypervisor.cut#1:after", "guest.thaw#1:before"]
    for place in table.mine(places if not short else ["hypervisor.cut#1:after"]):
        judge = Judge("kill-both", place.replace(":", " "), "plain")
        kill_both(judge, snapshot("plain"), place)
        thawed_by_deadman(table, judge)


def kill_both(judge, command, place):
    on = judge.on
    begin = time.monotonic()
    process = on.halt(command, place, timeout=300)
    guardians = on.guardians()
    judge.demand(guardians, "there was no guardian to kill")
    for pid in guardians:
        os.kill(pid, signal.SIGKILL)
    if process.poll() is None:
        process.kill()
    judge.was_killed(on.finish(process, begin))


def thawed_by_deadman(table, judge):
    judge.aftermath(judge.ended.killed_at, thawed=12)
    judge.demand(judge.frozen < 10_000, f"frozen for {judge.frozen} ms, 10 s were promised")
    table.add(judge.row())


def with_databases(table, daemon, short):
    """The same while hooks hold databases: their leases are what is left, and clients write on before anybody clears up."""
    on = target("base")
    for place in table.mine(["guest.turn.pre-freeze#1:after", "guest.freeze#1:after", "hypervisor.cut#1:after"]):
        judge = Judge("leases", place.replace(":", " "), "base")
        on.load("start")
        kill_both(judge, snapshot("base"), place)
        # The hold of 15 s, from before the kill on, and what a look takes on a slow guest.
        silent = on.silent_engines(25)
        # The agent may think for a while yet that it is frozen.
        on.type("systemctl stop 'lab-load@*'", 60)
        judge.demand(not silent, f"no client of {' '.join(silent)} writes 25 s after the kill")
        thawed_by_deadman(table, judge)


def two(table, daemon, short):
    """One wins, the other is told to come back."""
    on = target("plain")
    for place in table.mine(["hypervisor.observe#1:before", "guest.freeze#1:before", "hypervisor.cut#1:after"]):
        judge = Judge("two", f"second comes {place.replace(':', ' ')}", "plain")
        begin = time.monotonic()
        process = on.halt(snapshot("plain"), place)
        halted = os.path.exists(on.mark_file) and process.poll() is None
        other = on.spawn(["snapshot", on.name, "--name", "other", "--no-hooks", "-q"])
        late = on.finish(other, begin)
        judge.demand(late.status == 75, f"the second exits {late.status}: {late.last_line}")
        resume(process)
        judge.has_ended(on.finish(process, begin))
        judge.fired = halted
        judge.demand(judge.ended.status in (0, 11), f"the first exits {judge.ended.status}: {judge.ended.last_line}")
        judge.aftermath()
        table.add(judge.row())
    for turn in table.mine(range(1 if short else 3)):
        judge = Judge("two", f"both at once, {turn + 1}", "plain")
        begin = time.monotonic()
        pair = [on.spawn([*snapshot("plain")[:3], name, "--no-hooks", "-q"]) for name in ("faults", "other")]
        judge.fired = all(process.poll() is None for process in pair)
        ended = [on.finish(process, begin) for process in pair]
        judge.ended = ended[0]
        judge.demand(sorted(one.status for one in ended) == [0, 75],
                     f"they exit {[one.status for one in ended]}: {[one.last_line for one in ended]}")
        judge.aftermath()
        table.add(judge.row())
