# SPDX-License-Identifier: Apache-2.0
"""Which suites there are, in order."""

import agents
import calls
import daemons
import ends
import kills
from judge import proved, proved_bare
from world import say

SUITES = {"bare-kill": kills.bare, "bare-call": calls.bare, "bare-file": calls.files,
          "bare-file-life": calls.life_files, "bare-qemu": ends.without_qemu, "bare-signal": ends.bare_signals,
          "file": calls.guest_files, "kill": kills.one, "kill-both": kills.with_guardian, "signal": ends.signals,
          "two": kills.two, "agent": agents.faulty, "liar": agents.lying, "call": calls.guest, "daemon": daemons.ours,
          "virsh": daemons.baseline, "leases": kills.with_databases, "kill4": kills.four}
SHORT = ["bare-kill", "bare-call", "bare-file", "bare-qemu", "bare-signal", "kill", "kill-both", "two"]


def run(table, daemon, wanted, short):
    seen = set()
    for name in wanted or (SHORT if short else SUITES):
        say(f"suite {name}")
        kind = "bare" if name.startswith("bare") else "guest"
        if kind not in seen:
            table.add(proved_bare() if kind == "bare" else proved("base" if name in ("leases", "kill4") else "plain"))
            seen.add(kind)
        SUITES[name](table, daemon, short)
