# SPDX-License-Identifier: Apache-2.0
"""One case: the domain it is played on, what is wrong afterwards, and the row that comes of it."""

import os
import signal
import subprocess
import time

import oracle
from world import BareDomain, LabGuest, virsh

_targets = {}


def standing():
    return list(_targets.values())


def target(kind):
    if kind not in _targets:
        _targets[kind] = BareDomain() if kind == "bare" else LabGuest(kind)
    return _targets[kind]


def row(suite, case, **values):
    empty = {"disks": "", "exit": "", "fired": "", "frozen_ms": "", "frozen_after_ms": "", "in_window": "", "level": "",
             "recover": "", "survived": True, "why": "", "seconds": "", "took_s": "", "bound_s": "", "rss_mib": ""}
    return {"suite": suite, "case": case, **empty, **values}


# What is run: quick, and named so that its overlays are known.
SNAPSHOT = {"bare": ["snapshot", "{}", "--name", "faults", "--no-freeze", "--json", "-q"],
            "plain": ["snapshot", "{}", "--name", "faults", "--no-hooks", "--json", "-q"],
            "base": ["snapshot", "{}", "--name", "faults", "--exclude", "vde", "--json", "-q"]}


def snapshot(kind):
    return [word.format(target(kind).name) for word in SNAPSHOT[kind]]


# What a suite's faults may end with besides. SQLite opens for reading what cannot be opened for writing, and then refuses to
# write there.
ALSO = {"agent": {30}, "liar": {30}, "call": {30}, "daemon": {25, 30}, "bare-file": {77}, "bare-file-life": {77},
        "file": {77}}


class Judge:
    def __init__(self, suite, case, kind):
        self.suite, self.case, self.on = suite, case, target(kind)
        self.disks = len(self.on.disks) - (kind == "base")
        self.problems = []
        self.begin = time.monotonic()
        self.ended = None
        self.frozen = self.after = self.recovered = self.bound = ""
        self.fired = self.stays = None
        self.is_in_window = False
        self.runs, self.places = oracle.runs(self.on), oracle.places()
        if self.on.mountpoints:
            self.on.stalls()

    def demand(self, is_so, why):
        if not is_so:
            self.problems.append(why)
        return is_so

    def was_killed(self, ended):
        """By the failpoint, and there."""
        self.ended = ended
        self.demand(ended.status == -signal.SIGKILL, f"it was not killed: exit {ended.status}")

    def has_ended(self, ended):
        """By itself: with a status that says what became of the disks, and no more claimed than there is."""
        self.ended = ended
        moved = self.on.images() != self.on.disks
        # Where nobody can say what became of the freeze, or of the disks, there is a status for that.
        known = {0, 10, 11, 12, 20, 21, 22, 23, 24, 69, 70, 75}
        known |= ALSO.get(self.suite, set())
        if not self.demand(ended.status in known, f"exit {ended.status}: {ended.last_line}"):
            return
        if ended.status in (0, 10, 11):
            self.demand(moved, f"exit {ended.status}, and the disks are where they were")
        if ended.status in (12, 20, 21, 22, 69, 75, 77):
            self.demand(not moved, f"exit {ended.status}, and the disks moved: {ended.last_line}")
        if ended.status in (12, 20, 21, 22):
            self.problems += oracle.orphans(self.on)
        raw = [c for c in ended.output + ended.errors
               if ord(c) < 32 and c not in "\n\t" or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066"]
        self.demand(not raw, f"raw control characters: {raw[:5]}")
        level = ended.level
        if level in ("filesystem", "application") and moved:
            dirty = oracle.not_frozen_when_cut(self.on)
            self.demand(not dirty, f"{level} was claimed, but {' '.join(dirty)}")

    def command_has_ended(self, words, ended, known):
        """As `has_ended` of a snapshot; of another command with one of the statuses known."""
        if words[0] == "snapshot":
            self.has_ended(ended)
            return
        self.ended = ended
        if words[0] == "commit":
            moved = self.on.images() != self.on.disks
            self.demand(ended.status != 0 or not moved, "exit 0, and the disks are on their overlays")
        self.demand(ended.status in known, f"exit {ended.status}: {ended.last_line}")

    def measure(self, since=None):
        """How long the guest was frozen at all, and how much of that came after a moment of the host's clock."""
        stalls = self.on.stalls() if self.on.mountpoints else []
        self.frozen = round(1000 * max((end - begin for begin, end in stalls), default=0))
        if since:
            self.after = max(0, round(1000 * max((end - max(begin, since) for begin, end in stalls), default=0)))

    def thawed_within(self, seconds):
        """Somebody thaws; asked of the filesystems themselves."""
        end = time.monotonic() + seconds
        left = oracle.frozen(self.on)
        while left and time.monotonic() < end:
            time.sleep(0.5)
            left = oracle.frozen(self.on)
        self.problems += [f"{line} after {seconds} s" for line in left]

    def recover(self):
        """recover leads to a state in which nothing is left; a second one has nothing to do."""
        first = self.on.stillpoint("recover", self.on.name)
        self.recovered = first.status
        self.demand(first.status == 0, f"recover exits {first.status}: {first.last_line}")
        if self.stays:
            layers = [os.path.basename(layer) for chain in oracle.chains(self.on).values() for layer in chain]
            self.demand(any(layer.startswith(self.stays) for layer in layers), f"{self.stays} went too: {layers}")
        self.look()
        before = oracle.definition(self.on)
        again = self.on.stillpoint("recover", self.on.name)
        self.demand(again.status == 0, f"the second recover exits {again.status}: {again.last_line}")
        self.demand(before == oracle.definition(self.on), "the second recover changed the domain")
        self.demand("nothing" in again.output + again.errors, f"the second recover did: {again.output.strip()[:200]}")

    def look(self):
        self.problems += oracle.everything(self.on, self.runs, self.places)

    def settle(self):
        """Back onto the images that the domain was made with, the way a user would."""
        if self.on.images() != self.on.disks:
            ended = merge(self.on)
            self.demand(ended.status == 0, f"merging it back exits {ended.status}: {ended.last_line}")
            self.look()
        if self.problems or self.on.images() != self.on.disks:
            self.on.restore()

    def aftermath(self, since=None, guardian=30, thawed=0):
        """What follows every fault: somebody thaws, recover clears up, the guest goes back to where it was."""
        self.demand(self.on.await_guardians(guardian), f"the guardian is still there after {guardian} s")
        if self.on.mountpoints:
            self.thawed_within(thawed)
            self.measure(since)
        elif virsh("domstate", self.on.name) == "running":
            # After the fault its guest writes on.
            self.on.write()
        self.problems += oracle.graph(self.on)
        self.recover()
        self.settle()

    def row(self):
        ended = self.ended
        fired = self.fired if self.fired is not None else bool(ended and ended.fired)
        if not fired:
            self.problems.insert(0, f"not made: {ended.last_line if ended else 'it did not begin'}")
        return row(self.suite, self.case, disks=self.disks, exit=ended.status if ended else "", fired=fired,
                   frozen_ms=self.frozen, frozen_after_ms=self.after, in_window=self.is_in_window or "",
                   level=ended.level if ended else "",
                   recover=self.recovered, survived=not self.problems, why="; ".join(self.problems)[:400],
                   seconds=round(time.monotonic() - self.begin, 1), took_s=round(ended.seconds, 1) if ended else "",
                   bound_s=self.bound, rss_mib=ended.mebibytes if ended else "")


def resume(process):
    if process.poll() is None:
        os.kill(process.pid, signal.SIGCONT)


def merge(on):
    """A commit of what is there; what a revert left stands on the same images, and is given up before."""
    if oracle.left_behind(on):
        pruned = on.stillpoint("prune", on.name, "--abandoned")
        if pruned.status != 0:
            return pruned
    return on.stillpoint("commit", on.name, "--all")


def back(on):
    """A snapshot that was taken to see how it goes is merged again."""
    if on.images() != on.disks and merge(on).status != 0:
        on.restore()


def proved_bare():
    """The oracle is not blind: a byte that changed behind everybody's back is seen, in what the guest reads and at a cut."""
    judge = Judge("oracle", "sees a byte that changed", "bare")
    on, judge.fired = judge.on, True
    byte = on.content["vdb", 3]
    on.io("vdb", f"write -P {byte ^ 1} {3 * 64 + 63}k 1k", "flush")
    judge.demand(oracle.content(on), "it does not see another byte")
    on.io("vdb", f"write -P {byte} {3 * 64 + 63}k 1k", "flush")
    judge.problems += oracle.content(on)
    on.snapshot("faults")
    judge.problems += oracle.content(on)
    on.cuts["faults"]["vda", 1] ^= 1
    judge.demand(oracle.content(on), "it does not see another byte in a snapshot")
    on.cuts["faults"]["vda", 1] ^= 1
    judge.settle()
    return judge.row()


def proved(kind):
    """The oracle is not blind: a freeze made by hand is seen, and measured."""
    judge = Judge("oracle", f"sees a freeze of {kind}", kind)
    on = judge.on
    judge.fired = on.agent({"execute": "guest-fsfreeze-freeze"}) > 0
    time.sleep(2)
    judge.demand(oracle.frozen(on, 6), "it takes a frozen guest for a thawed one")
    on.agent({"execute": "guest-fsfreeze-thaw"})
    judge.demand(not oracle.frozen(on), "it takes a thawed guest for a frozen one")
    judge.measure()
    judge.demand(1900 < judge.frozen < 30_000, f"it measured {judge.frozen} ms for a freeze of 2 s and more")
    judge.frozen = ""
    strays = [os.path.join(on.folder, "stray.faults"), "/var/tmp/stray.faults"]
    for path in strays:
        open(path, "w").close()
    stray = subprocess.Popen(["sleep", "60"])
    judge.demand(oracle.orphans(on), "it does not see a stray file")
    judge.demand(oracle.places() - judge.places, "it does not see what is left of work")
    judge.demand(oracle.strangers(), "it does not see a stray process")
    stray.kill()
    stray.wait()
    for path in strays:
        os.unlink(path)
    return judge.row()
