# SPDX-License-Identifier: Apache-2.0
"""QEMU that is killed under a command, and commands that are asked to end, at every step."""

import itertools
import signal

import oracle
import world
from judge import Judge, snapshot, target
from scenes import lay_out, take, take_three, there
from walk import called, steps
from world import virsh


def without_qemu(table, daemon, short):
    """Its user recovers and starts the guest, or starts it at once: either way it reads what it wrote."""
    on = target("bare")
    few = short and ["hypervisor.cut#1:before", "hypervisor.cut#1:after", "hypervisor.merge#1:before"]
    for words, prepare in [(snapshot("bare"), None), (["commit", on.name, "-q"], take),
                           (["delete", on.name, "two", "-q"], take_three)]:
        places, _ = steps(table, "bare-qemu", on, words, few, prepare)
        for place, is_recovered in table.mine(itertools.product(places, (True, False))):
            lay_out(on, prepare, None)
            judge = Judge("bare-qemu", f"{called(words)} {place.replace(':', ' ')}, {'recover' if is_recovered else 'start'}",
                          "bare")
            pid = world.read(f"/run/libvirt/qemu/{on.name}.pid")
            gone = f"kill -9 {pid}; until [ \"$(virsh -q domstate {on.name})\" = 'shut off' ]; do sleep 0.05; done"
            ended = on.stillpoint(*words, failpoint=f"{place}:run", environment={"STILLPOINT_FAILPOINT_RUN": gone})
            judge.fired = ended.fired and virsh("domstate", on.name) == "shut off"
            judge.command_has_ended(words, ended, {0, 20, 22, 24, 69, 75})
            judge.problems += oracle.graph(on)
            if is_recovered:
                told = on.stillpoint("recover", on.name)
                judge.demand(told.status == 0, f"recover of a guest that is off exits {told.status}: {told.last_line}")
            virsh("start", on.name)
            judge.aftermath()
            table.add(judge.row())


def asked_to_end(table, suite, kind, words, few, prepare=None, or_else=None):
    """By each signal in turn."""
    on = target(kind)
    numbers = itertools.cycle((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    places, window = steps(table, suite, on, words, few, prepare, or_else)
    for place, number in table.mine(zip(places, numbers)):
        lay_out(on, prepare, or_else)
        judge = Judge(suite, f"{number.name} {called(words)} {place.replace(':', ' ')}", kind)
        judge.ended = ended = on.stillpoint(*words, failpoint=f"{place}:run",
                                            environment={"STILLPOINT_FAILPOINT_RUN": f"kill -{number.value} $PPID"})
        judge.demand(ended.status in (0, 128 + number), f"exit {ended.status}, not {128 + number}: {ended.last_line}")
        if words[0] == "snapshot":
            is_taken = on.images() != on.disks
            judge.demand(is_taken == (ended.status == 0), f"exit {ended.status}, and the disks moved: {is_taken}")
        # A merge may have ended on one disk and not on the other: then it says who goes on with it. Nothing else stays.
        if f"stillpoint recover {on.name}" not in ended.errors:
            judge.problems += oracle.unfinished(on) + oracle.orphans(on)
        judge.is_in_window = place in window
        judge.aftermath(ended.killed_at)
        table.add(judge.row())


def bare_signals(table, daemon, short):
    name = target("bare").name
    few = short and ["hypervisor.cut#1:before", "hypervisor.cut#1:after", "hypervisor.merge#1:after",
                     "life.powerOff#1:after"]
    for words, prepare, or_else in [
            (snapshot("bare"), None, None), (["commit", name, "-q"], take, None),
            (["delete", name, "two", "-q"], take_three, None),
            (["revert", name, "faults", "--destroy", "-q"], take, there)]:
        asked_to_end(table, "bare-signal", "bare", words, few, prepare, or_else)


def signals(table, daemon, short):
    asked_to_end(table, "signal", "plain", snapshot("plain"), short and ["guest.freeze#1:after", "hypervisor.cut#1:after"])
