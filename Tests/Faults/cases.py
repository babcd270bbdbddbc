# SPDX-License-Identifier: Apache-2.0
"""The suites: what is done to a run, and what must be true afterwards."""

import time

import oracle
import world
from world import BareDomain, LabGuest, say

_targets = {}


def standing():
    return list(_targets.values())


def target(kind):
    if kind not in _targets:
        _targets[kind] = BareDomain() if kind == "bare" else LabGuest(kind)
    return _targets[kind]


def row(suite, case, **values):
    empty = {"disks": "", "exit": "", "fired": "", "frozen_ms": "", "frozen_after_ms": "", "level": "", "recover": "",
             "survived": True, "why": "", "seconds": ""}
    return {"suite": suite, "case": case, **empty, **values}


class Judge:
    """One case: what is wrong, as it is found, and the row that comes of it."""

    def __init__(self, suite, case, on, disks):
        self.suite, self.case, self.on, self.disks = suite, case, on, disks
        self.problems = []
        self.begin = time.monotonic()
        self.ended = None
        self.frozen = self.after = self.level = self.recovered = ""
        if on.mountpoints:
            on.stalls()

    def demand(self, is_so, why):
        if not is_so:
            self.problems.append(why)
        return is_so

    def measure(self, since=None):
        """How long the guest was frozen at all, and how much of that came after a moment of the host's clock."""
        stalls = self.on.stalls() if self.on.mountpoints else []
        self.frozen = round(1000 * max((end - begin for begin, end in stalls), default=0))
        if since:
            after = max((end - max(begin, since) for begin, end in stalls), default=0)
            self.after = max(0, round(1000 * after))

    def recover(self):
        """recover leads to a state in which nothing is left; a second one has nothing to do."""
        first = self.on.stillpoint("recover", self.on.name)
        self.recovered = first.status
        self.demand(first.status == 0, f"recover exits {first.status}: {first.last_line}")
        self.problems += oracle.everything(self.on)
        before = world.virsh("dumpxml", self.on.name)
        again = self.on.stillpoint("recover", self.on.name)
        self.demand(again.status == 0, f"the second recover exits {again.status}: {again.last_line}")
        self.demand(before == world.virsh("dumpxml", self.on.name), "the second recover changed the domain")
        self.demand("nothing" in again.output + again.errors, f"the second recover did: {again.output.strip()[:200]}")

    def settle(self):
        """Back onto the images that the domain was made with, the way a user would: a commit of what is there."""
        if self.on.images() != self.on.disks:
            ended = self.on.stillpoint("commit", self.on.name, "--all")
            self.demand(ended.status == 0, f"commit exits {ended.status}: {ended.last_line}")
            self.problems += oracle.everything(self.on)
        if self.problems or self.on.images() != self.on.disks:
            self.on.restore()

    def row(self):
        ended = self.ended
        return row(self.suite, self.case, disks=self.disks, exit=ended.status if ended else "",
                   fired=bool(ended and ended.fired), frozen_ms=self.frozen, frozen_after_ms=self.after, level=self.level,
                   recover=self.recovered, survived=not self.problems, why="; ".join(self.problems)[:400],
                   seconds=round(time.monotonic() - self.begin, 1))


def points(ended):
    """The failpoints of a run that was traced, each once, in order; libvirt's calls have a suite of their own."""
    return [name for name in dict.fromkeys(ended.trace) if not name.startswith("libvirt.")]


def moments(names, short, few):
    """Every failpoint, before and after; the short way some of them."""
    for name in names:
        if short and name not in few:
            continue
        for moment in ("before", "after"):
            yield name, moment


# Killed at every step.

SNAPSHOT = {"bare": ["snapshot", "{}", "--name", "killed", "--no-freeze", "-q"],
            "plain": ["snapshot", "{}", "--name", "killed", "--no-hooks", "-q"],
            "base": ["snapshot", "{}", "--name", "killed", "--exclude", "vde", "-q"]}


def words(kind, on):
    return [word.format(on.name) for word in SNAPSHOT[kind]]


def killed(table, suite, kind, command, short, few, prepare=None, only=None):
    """`command` killed before and after each of its steps, after `prepare`."""
    on = target(kind)
    disks = len(on.disks) - (kind == "base")
    if prepare:
        prepare(on)
    clean = on.stillpoint(*command(on))
    names = points(clean)
    if clean.status not in (0, 12) or not names:
        table.add(row(suite, "clean", exit=clean.status, survived=False, why=clean.last_line))
        return
    tidy(on)
    for name, moment in moments(names, short, few):
        if only and f"{name}:{moment}" not in only:
            continue
        judge = Judge(suite, f"{command(on)[0]} {name} {moment}", on, disks)
        if prepare:
            prepare(on)
        ended = judge.ended = on.stillpoint(*command(on), failpoint=f"{name}:{moment}:kill")
        judge.demand(ended.fired, "the failpoint did not fire")
        judge.demand(ended.status == -9, f"it was not killed: exit {ended.status}")
        aftermath(judge, ended.killed_at)
        table.add(judge.row())


def aftermath(judge, since, limit=30):
    """What follows every fault: somebody thaws, recover clears up, the guest goes back to where it was."""
    on = judge.on
    judge.demand(on.await_guardians(limit), f"the guardian is still there after {limit} s")
    judge.problems += oracle.frozen(on)
    judge.problems += [p for p in oracle.graph(on)]
    if on.mountpoints:
        judge.measure(since)
    judge.recover()
    judge.settle()


def tidy(on):
    if on.images() != on.disks:
        ended = on.stillpoint("commit", on.name, "--all")
        if ended.status != 0:
            on.restore()


def bare_kill(table, daemon, short):
    few = ["journal.staging#1", "images.stage#1", "hypervisor.cut#1", "catalogue.add#1", "hypervisor.merge#1",
           "images.remove#1"]
    killed(table, "bare-kill", "bare", lambda on: words("bare", on), short, few)
    take = lambda on: on.stillpoint(*words("bare", on))
    killed(table, "bare-kill", "bare", lambda on: ["commit", on.name, "-q"], short, few, prepare=take)


def kill(table, daemon, short):
    few = ["guest.freeze#1", "hypervisor.cut#1", "guest.thaw#1"]
    killed(table, "kill", "plain", lambda on: words("plain", on), short, few)


SUITES = {"bare-kill": bare_kill, "kill": kill}
SHORT = ["bare-kill", "kill"]


def run(table, daemon, wanted, short):
    for name in [word.split("/")[0] for word in wanted] or (SHORT if short else SUITES):
        say(f"suite {name}")
        SUITES[name](table, daemon, short)
