# SPDX-License-Identifier: Apache-2.0
"""The n-th call or file operation fails, for n = 1, 2, 3 … until a run has none left to fail."""

import errno
import os

import world
from judge import ALSO, Judge, back, row, snapshot, target


def until_clean(table, suite, kind, words, what, arrange, step=1, prepare=None, most=400):
    """arrange(n) gives failpoint and environment; a run without a mark ends the series."""
    on = target(kind)
    for n in table.mine(range(1, most + 1, step)):
        if prepare:
            prepare(on)
        judge = Judge(suite, f"{words[0]} {what} {n}", kind)
        failpoint, environment = arrange(n)
        ended = on.stillpoint(*words, failpoint=failpoint, environment=environment)
        if not ended.fired:
            back(on)
            return
        if words[0] == "commit":
            judge.ended = ended
            moved = on.images() != on.disks
            judge.demand(ended.status != 0 or not moved, "exit 0, and the disks are on their overlays")
            known = {0, 20, 22, 69, 70, 75} | ALSO.get(suite, set())
            judge.demand(ended.status in known, f"exit {ended.status}: {ended.last_line}")
        else:
            judge.has_ended(ended)
        judge.aftermath()
        table.add(judge.row())
    table.add(row(suite, what, survived=False, why=f"not clean after {most}"))


def take(on):
    on.snapshot("faults")


def bare(table, daemon, short):
    commit = ["commit", target("bare").name, "-q"]
    for moment, kind in [("before", "refused"), ("after", "lost"), ("before", "timeout")]:
        if short and kind != "lost":
            continue

        def arrange(n):
            return f"libvirt.call#{n}:{moment}:fail", {"STILLPOINT_FAILPOINT_ERROR": kind}

        for words, prepare in [(snapshot("bare"), None), (commit, take)]:
            until_clean(table, "bare-call", "bare", words, f"call {kind} {moment}", arrange, 6 if short else 1, prepare)


def files(table, daemon, short):
    on = target("bare")
    commit = ["commit", on.name, "-q"]
    for number in [errno.ENOSPC] if short else [errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS]:

        def arrange(n):
            return None, {"LD_PRELOAD": os.path.join(world.WORK, "filefaults.so"), "FILEFAULTS_AT": str(n),
                          "FILEFAULTS_ERRNO": str(number), "FILEFAULTS_UNDER": f"{on.state}:{on.folder}",
                          "FILEFAULTS_MARK": on.mark_file}

        name = errno.errorcode[number]
        for words, prepare in [(snapshot("bare"), None), (commit, take)]:
            until_clean(table, "bare-file", "bare", words, name, arrange, 10 if short else 1, prepare)


def guest(table, daemon, short):
    for moment, kind in [("before", "timeout"), ("after", "lost")]:

        def arrange(n):
            return f"libvirt.call#{n}:{moment}:fail", {"STILLPOINT_FAILPOINT_ERROR": kind}

        until_clean(table, "call", "plain", snapshot("plain"), f"call {kind} {moment}", arrange, 25 if short else 1)
