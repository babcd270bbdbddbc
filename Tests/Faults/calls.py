# SPDX-License-Identifier: Apache-2.0
"""The n-th call or file operation fails, for n = 1, 2, 3 … until a run has none left to fail."""

import errno
import os

import oracle
import world
from judge import ALSO, Judge, back, row, snapshot, target
from scenes import break_off, lay_out, take, take_three, there


def until_clean(table, suite, kind, words, what, arrange, step=1, prepare=None, or_else=None, most=400):
    """arrange(n) gives failpoint and environment; a run without a mark ends the series. prepare, or_else: as of `killed`."""
    on = target(kind)
    for n in table.mine(range(1, most + 1, step)):
        lay_out(on, prepare, or_else)
        judge = Judge(suite, f"{words[0]} {what} {n}", kind)
        failpoint, environment = arrange(n)
        ended = on.stillpoint(*words, failpoint=failpoint, environment=environment)
        if not ended.fired:
            back(on)
            wrong = oracle.content(on) if kind == "bare" else []
            if wrong:
                table.add(row(suite, f"{words[0]} {what} clean", survived=False, why="; ".join(wrong)))
            return
        judge.command_has_ended(words, ended, {0, 20, 22, 69, 70, 75} | ALSO.get(suite, set()))
        judge.aftermath()
        table.add(judge.row())
    table.add(row(suite, what, survived=False, why=f"not clean after {most}"))


def bare(table, daemon, short):
    commit = ["commit", target("bare").name, "-q"]
    for moment, kind in [("before", "refused"), ("after", "lost"), ("before", "timeout")]:
        if short and kind != "lost":
            continue

        def arrange(n):
            return f"libvirt.call#{n}:{moment}:fail", {"STILLPOINT_FAILPOINT_ERROR": kind}

        for words, prepare in [(snapshot("bare"), None), (commit, take)]:
            until_clean(table, "bare-call", "bare", words, f"call {kind} {moment}", arrange, 6 if short else 1, prepare)


def file_faults(on, short):
    """Each error, by its name, and what lets the n-th file operation fail with it."""
    for number in [errno.ENOSPC] if short else [errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS]:
        environment = {"LD_PRELOAD": os.path.join(world.WORK, "filefaults.so"), "FILEFAULTS_ERRNO": str(number),
                       "FILEFAULTS_UNDER": f"{on.state}:{on.folder}", "FILEFAULTS_MARK": on.mark_file}
        yield errno.errorcode[number], lambda n: (None, environment | {"FILEFAULTS_AT": str(n)})


def files(table, daemon, short):
    on = target("bare")
    for name, arrange in file_faults(on, short):
        for words, prepare in [(snapshot("bare"), None), (["commit", on.name, "-q"], take)]:
            until_clean(table, "bare-file", "bare", words, name, arrange, 10 if short else 1, prepare)


def life_files(table, daemon, short):
    """What a snapshot's life has besides."""
    on = target("bare")
    for words, prepare, or_else in [(["revert", on.name, "faults", "--destroy", "-q"], take, there),
                                    (["delete", on.name, "two", "-q"], take_three, None),
                                    (["recover", on.name], break_off, None)]:
        # As before the walk of a command's steps.
        on.restore()
        for name, arrange in file_faults(on, short):
            until_clean(table, "bare-file-life", "bare", words, name, arrange, 10 if short else 1, prepare, or_else)


def guest_files(table, daemon, short):
    on = target("plain")
    for name, arrange in file_faults(on, short):
        until_clean(table, "file", "plain", snapshot("plain"), name, arrange, 10 if short else 1)


def guest(table, daemon, short):
    for moment, kind in [("before", "timeout"), ("after", "lost")]:

        def arrange(n):
            return f"libvirt.call#{n}:{moment}:fail", {"STILLPOINT_FAILPOINT_ERROR": kind}

        until_clean(table, "call", "plain", snapshot("plain"), f"call {kind} {moment}", arrange, 25 if short else 1)
