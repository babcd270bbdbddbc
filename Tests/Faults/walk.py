# SPDX-License-Identifier: Apache-2.0
"""The steps of a command, by a run of it that is traced: where faults are made."""

import oracle
from judge import back, row
from scenes import lay_out


def called(command):
    return " ".join([command[0], *(word for word in command if word in ("--undo", "--keep", "--disk"))])


def places_of(ended):
    """Where a run that was traced has been, each once, in order; libvirt's calls have walks of their own, and where a revert
    waits for the guest's end it looks another number of times each time."""
    waits = ("life.power#", "layers.open#")
    return [place for place in dict.fromkeys(ended.trace)
            if not place.startswith("libvirt.") and (not place.startswith(waits) or "#1:" in place)]


def in_the_window(places):
    """From the reply to the freeze to that to the thaw."""
    first, last = "guest.freeze#1:after", "guest.thaw#1:before"
    is_whole = first in places and last in places
    return set(places[places.index(first):places.index(last) + 1]) if is_whole else set()


def steps(table, suite, on, command, few, prepare=None, or_else=None):
    """Before and after each step of the command, and which of these lie inside the window; few: these alone. Nothing
    where it fails without a fault, which is a row."""
    # What an earlier walk left is listed: it would be looked at as well, and would excuse files of the same names.
    on.restore()
    lay_out(on, prepare, or_else)
    clean = on.stillpoint(*command)
    places = places_of(clean)
    back(on)
    wrong = [] if on.mountpoints else oracle.content(on)
    if clean.status not in (0, 12) or not places or wrong:
        table.add(row(suite, "clean", exit=clean.status, survived=False, why="; ".join([clean.last_line, *wrong])))
        return [], set()
    return [place for place in places if not few or place in few], in_the_window(places)
