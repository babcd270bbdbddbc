# SPDX-License-Identifier: Apache-2.0
"""What is there before a fault is made, of the bare domain."""

from judge import snapshot


def lay_out(on, prepare, or_else):
    """Before each case: what is there, and what the guest may read besides when it is over."""
    if prepare:
        prepare(on)
    if or_else:
        on.or_else = or_else(on)


def take(on):
    on.snapshot("faults")


def take_three(on):
    for name in ("faults", "two", "three"):
        on.snapshot(name)


def leave(on):
    take(on)
    on.left = dict(on.content)
    on.stillpoint("revert", on.name, "faults", "--destroy", "-q")
    on.content = dict(on.cuts["faults"])
    on.write()


def there(on):
    """What the guest may read when it went back, and when it did not."""
    return [dict(on.cuts["faults"])]


def break_off(on):
    on.stillpoint(*snapshot("bare"), failpoint="hypervisor.cut#1:after:kill")


def break_off_merge(on):
    take(on)
    on.stillpoint("commit", on.name, "-q", failpoint="hypervisor.merge#1:before:kill")
