# SPDX-License-Identifier: Apache-2.0
"""The cases, one after the other, and what came of them. Started by `run`."""

import csv
import itertools
import os
import re
import signal
import sys
import time
import traceback

import judge
import suites
import world
from world import say


class Table:
    """What came of each case, in memory and at once in a file; and which of the cases are asked for."""

    columns = list(judge.row("", ""))

    def __init__(self, path, part, parts):
        self.part, self.parts = part, parts
        self.rows = []
        self.file = open(path, "w", newline="")
        self.writer = csv.DictWriter(self.file, self.columns)
        self.writer.writeheader()

    def mine(self, cases):
        """Of some cases in a row those of this part: every so many-th."""
        return itertools.islice(cases, self.part - 1, None, self.parts)

    def add(self, row):
        self.rows.append(row)
        self.writer.writerow(row)
        self.file.flush()
        word = "survived" if row["survived"] else "not made" if row["fired"] is False else "FAILED"
        frozen = f"   frozen {row['frozen_ms']} ms" if row["frozen_ms"] != "" else ""
        say(f"{row['suite']:<14} {row['case']:<48} {word}{frozen}   exit {row['exit']}   {row['why']}")


def quantile(values, share):
    values = sorted(values)
    rank = max(1, -(-len(values) * share // 1))
    return values[int(rank) - 1] if values else "-"


def not_made(rows):
    return sum(row["fired"] is False for row in rows)


def ours(rows):
    """Faults made to us: virsh is for comparison, and the oracle's looks at itself are no faults."""
    return [row for row in rows if row["suite"] not in ("virsh", "oracle")]


def summary(rows):
    """One line a suite, and one for all that is ours. After the kill: of those inside the window alone. False where p95 of
    that is above the second that is promised."""
    is_late = False
    print(f"{'suite':<14} {'survived':>14} {'frozen p95':>12} {'max':>8} {'after kill p95':>15} {'max':>8}   orphans"
          "   not made")
    suites = list(dict.fromkeys(row["suite"] for row in rows))
    for name in suites + ["all of ours"]:
        chosen = [row for row in rows if row["suite"] == name] if name in suites else ours(rows)
        if not chosen:
            continue
        survived = sum(row["survived"] for row in chosen)
        frozen = [row["frozen_ms"] for row in chosen if row["frozen_ms"] != ""]
        after = [row["frozen_after_ms"] for row in chosen if row["in_window"]]
        orphans = sum("orphan" in row["why"] for row in chosen)
        late = quantile(after, 0.95)
        is_late = is_late or name in suites and after and late > 1000
        print(f"{name:<14} {f'{survived} of {len(chosen)}':>14} {quantile(frozen, 0.95):>12} {quantile(frozen, 1):>8} "
              f"{late:>15} {quantile(after, 1):>8}   {orphans:>7}   {not_made(chosen):>8}")
    faults = ours(rows)
    print(f"{sum(row['survived'] for row in faults)} survived of {len(faults)}, {not_made(faults)} not made")
    return not is_late


def main(words):
    short, path, wanted, part = True, os.path.join(world.REPOSITORY, ".build-faults/faults.csv"), [], (1, 1)
    while words:
        word = words.pop(0)
        if word == "--csv" and words:
            path = words.pop(0)
        elif word == "--part" and words and re.fullmatch("[1-9][0-9]?/[1-9][0-9]?", words[0]):
            part = tuple(int(number) for number in words.pop(0).split("/"))
        elif word in ("--short", "--all"):
            short = word == "--short"
        elif word == "--list":
            print("\n".join(suites.SUITES))
            return 0
        elif word in suites.SUITES:
            wanted.append(word)
        else:
            say(f"'{word}' is no suite; try run --help")
            return 64
    if part[0] > part[1]:
        say(f"there is no part {part[0]} of {part[1]}")
        return 64
    if wanted and "--short" not in sys.argv:
        short = False
    table = Table(path, *part)
    # A wish to end is one like any other: what was made is taken away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    daemon = world.Daemon()
    daemon.start()
    begin = time.monotonic()
    try:
        suites.run(table, daemon, wanted, short)
    except Exception:
        traceback.print_exc()
        table.add(judge.row("harness", "broke off", survived=False, why="see above"))
    finally:
        for target in judge.standing():
            target.down()
        daemon.kill(15)
    say(f"{len(table.rows)} cases in {time.monotonic() - begin:.0f} s; rows in {path}")
    is_in_time = summary(table.rows)
    # A blind oracle lets everything survive.
    has_seen = table.parts > 1 or ours(table.rows)
    return 0 if is_in_time and has_seen and all(row["survived"] for row in table.rows if row["suite"] != "virsh") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
