# SPDX-License-Identifier: Apache-2.0
"""What is true of a domain, found out without one line of the product: QEMU itself through its monitor, qemu-img, libvirt's
XML, the host's files, processes and locks, and writes inside the guest."""

import fcntl
import json
import os
import subprocess
import time

from world import processes, virsh

WRITES = """
for m; do
    timeout 5 dd if=/dev/zero of="$m/.probe" bs=512 count=1 conv=fsync status=none || echo "frozen $m"
done
for m; do rm -f "$m/.probe"; done
"""
INSIDE = """
for f in /run/stillpoint/*; do
    run=${f##*/}
    # Where a release was not confirmed, something waits to take away what that run left.
    [ ! -e "$f" ] || pgrep -f "stillpoint ${run#active-} 600\$" >/dev/null || find "$f" | sed 's/^/in the guest: /'
done
read -r rcu </sys/kernel/rcu_expedited; [ "$rcu" = 0 ] || echo "in the guest: rcu_expedited is $rcu"
systemctl list-units 'stillpoint-*' --all --plain --no-legend | sed 's/^/in the guest: /'
"""


def chains(target):
    """Target and image paths, newest first, as QEMU has them open; of a guest that is off, as its next start would."""
    if virsh("domstate", target.name) == "shut off":
        return {disk: headers(image) for disk, image in target.images(saved=True).items()}
    reply = json.loads(virsh("qemu-monitor-command", target.name, '{"execute":"query-block"}'))
    found = {}
    for device in reply["return"]:
        image = device.get("inserted", {}).get("image")
        letter = next((t for t in target.disks if device["qdev"].endswith(f"disk{ord(t[2]) - 97}/virtio-backend")), None)
        paths = []
        while image:
            # The node of a block job repeats what it stands on.
            if paths[-1:] != [image["filename"]]:
                paths.append(image["filename"])
            image = image.get("backing-image")
        if letter:
            found[letter] = paths
    return found


def headers(image):
    """The chain from here on by the images themselves; what is wrong with it instead."""
    told = subprocess.run(["qemu-img", "info", "-U", "--backing-chain", "--output=json", image], capture_output=True,
                          text=True)
    return [layer["filename"] for layer in json.loads(told.stdout)] if told.returncode == 0 else [told.stderr.strip()]


def frozen(target, patience=30):
    """The filesystems of the guest that take no writes, in words; asks through the agent, else at the console."""
    if not target.mountpoints:
        return []
    try:
        told = target.sh(WRITES, *target.mountpoints, seconds=patience)
        return told.splitlines()
    except RuntimeError:
        # The agent answers nothing while it believes that something is frozen.
        script = "; ".join(f"dd if=/dev/zero of={m}/.probe bs=512 count=1 conv=fsync status=none && rm {m}/.probe && "
                           f"echo wrote:'{m}':" for m in target.mountpoints)
        told = target.type(script, patience) or ""
        return [f"frozen {m}" for m in target.mountpoints if f"wrote:{m}:" not in told]


def graph(target):
    """Where QEMU, the live and the saved XML and the image headers disagree; and images that are gone."""
    problems = []
    live, saved = target.images(), target.images(saved=True)
    for disk, chain in chains(target).items():
        if live.get(disk) != chain[0]:
            problems.append(f"{disk}: QEMU writes to {chain[0]}, the live XML says {live.get(disk)}")
        if saved.get(disk) != chain[0]:
            problems.append(f"{disk}: QEMU writes to {chain[0]}, the saved XML says {saved.get(disk)}")
        if chain[-1] != target.disks[disk]:
            problems.append(f"{disk}: the chain ends in {chain[-1]}, not in {target.disks[disk]}")
        for path in chain:
            if not os.path.exists(path):
                problems.append(f"{disk}: {path} is gone, and QEMU has it open")
        if not problems and headers(chain[0]) != chain:
            problems.append(f"{disk}: the headers say {headers(chain[0])}, QEMU {chain}")
    return problems


def content(target):
    """What the guest of a bare domain would read, held against what was written; and each snapshot that is listed as whole,
    against what was read when it was cut."""
    if virsh("domstate", target.name) != "running":
        return ["what the guest would read cannot be asked"]
    problems = []
    found = {}
    for disk, image in target.images().items():
        target.io(disk, "flush")
        told = asked(image, *[f"read -v {cell * 65536} 1" for cell in range(target.cells)])
        found |= {(disk, cell): row[0] for cell, row in enumerate(dumped(told))}
        if not reads(image, {cell: found.get((disk, cell), 0) for cell in range(target.cells)}):
            problems.append(f"{disk}: torn")
    if found == target.content or found in target.or_else:
        target.content, target.or_else = found, []
    else:
        wrong = [f"{disk} {cell}: {found.get((disk, cell))}, not {byte}"
                 for (disk, cell), byte in target.content.items() if found.get((disk, cell)) != byte]
        problems.append(f"the guest reads something else: {'; '.join(wrong[:4])}")
    listed = target.stillpoint("list", target.name, "--json").json.get("snapshots", [])
    for row in listed:
        if row["standing"] not in ("current", "below", "abandoned"):
            continue
        shown = target.stillpoint("show", target.name, row["name"], "--json").json
        for disk in shown["members"][0]["snapshot"]["disks"]:
            cut = target.cuts[row["name"]]
            if not reads(disk["frozenImage"], {cell: cut[disk["target"], cell] for cell in range(target.cells)}):
                problems.append(f"{row['name']} is listed, and {disk['target']} is not what it was at its cut")
        if row["consistency"] not in ("crash", "none"):
            problems.append(f"{row['name']} is called {row['consistency']}")
    return problems


def reads(image, numbers):
    """Whether each cell of the image holds that number, all of it."""
    told = asked(image, *[f"read -P {number} {cell * 64}k 64k" for cell, number in numbers.items()])
    return told.returncode == 0 and "failed" not in told.stdout


def claims(target):
    """Snapshots that are called consistent, and whose images were not frozen."""
    listed = target.stillpoint("list", target.name, "--json").json.get("snapshots", [])
    named = [row["name"] for row in listed
             if row["standing"] == "current" and row.get("consistency") in ("filesystem", "application")]
    return [f"{' '.join(named)} is called consistent, but {dirty}" for dirty in not_frozen_when_cut(target)] if named else []


def left_behind(target):
    """Images that the guest has left by a revert, and that are kept for its undo."""
    found = set()
    for run in sql(target, f"SELECT run FROM branch WHERE uuid = '{target.uuid}'") or []:
        with open(os.path.join(target.state, "runs", run, "branch.json")) as file:
            leaves = [leaf["image"]["path"] for leaf in json.load(file)["leaves"]]
        found |= {path for leaf in leaves if os.path.exists(leaf) for path in headers(leaf)}
    return found - {path for chain in chains(target).values() for path in chain}


def orphans(target):
    """Files in the image folder that nothing accounts for: no chain names them, and no snapshot that is kept."""
    known = {path for chain in chains(target).values() for path in chain}
    known |= set(target.images(saved=True).values()) | left_behind(target)
    kept = bool(known - set(target.disks.values()))
    problems = []
    for file in sorted(set(os.listdir(target.folder)) - target.files):
        path = os.path.join(target.folder, file)
        if path in known or (file == ".stillpoint" and kept):
            continue
        problems.append(f"orphan {path}")
    return problems


def strangers():
    """All processes here are the harness, libvirtd and its guests, or were left behind: `run` gives us a space of our own.
    One that is just ending gets a moment."""
    end = time.monotonic() + 2
    while True:
        left = [(pid, line) for pid, line in processes() if line and pid not in (1, os.getpid())
                and os.path.basename(line.split("\0")[0]) not in ("libvirtd", "qemu-system-x86_64", "dnsmasq")]
        if not left or time.monotonic() > end:
            return [f"orphan process {pid}: {line.replace(chr(0), ' ')[:120]}" for pid, line in left]
        time.sleep(0.1)


def places():
    """What is mounted, and what lies where work in progress does."""
    with open("/proc/self/mounts") as file:
        return {f"mount {line.split()[1]}" for line in file} | {f"/var/tmp/{name}" for name in os.listdir("/var/tmp")}


def leftovers(target):
    """Locks, records, metadata and things in the guest that no one needs any more."""
    problems = []
    lock = f"/run/stillpoint/lock/{target.uuid}"
    if os.path.exists(lock):
        with open(lock) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                problems.append("the guest's lock is held")
    if "stillpoint.dev/owner" in virsh("dumpxml", target.name):
        problems.append("an owner record in the domain")
    if virsh("domstate", target.name) != "running":
        problems.append("the guest does not run")
    snapshots = virsh("snapshot-list", target.name, "--name").split()
    if snapshots and target.images() == target.disks:
        problems.append(f"libvirt lists {' '.join(snapshots)}, and no overlay is left")
    for disk in target.disks:
        if virsh("blockjob", target.name, disk, "--info", check=False).startswith("Active"):
            problems.append(f"a block job on {disk}")
    if target.mountpoints:
        try:
            problems += target.sh(INSIDE).splitlines()
        except RuntimeError as error:
            problems.append(f"the agent does not answer: {error}")
    return problems


def sql(target, query):
    """Asked of SQLite and not of the command; None where it does not tell."""
    base = os.path.join(target.state, "stillpoint.db")
    if not os.path.exists(base):
        return []
    told = subprocess.run(["sqlite3", "-readonly", base, query], capture_output=True, text=True)
    return told.stdout.split() if told.returncode == 0 else None


def unfinished(target):
    """Runs that the journal says are open."""
    runs = sql(target, "SELECT id FROM run WHERE ending IS NULL")
    return ["the journal cannot be read"] if runs is None else [f"the journal has {run} open" for run in runs]


def runs(target):
    """The folders of runs in the state folder."""
    folder = os.path.join(target.state, "runs")
    return set(os.listdir(folder)) if os.path.isdir(folder) else set()


def papers(target, known):
    """Folders of runs beyond the known ones that are neither an open run's nor the history of a snapshot or a revert."""
    problems = []
    still_open = unfinished(target)
    for run in sorted(runs(target) - known):
        folder = os.path.join(target.state, "runs", run)
        files = sorted(os.listdir(folder))
        is_history = "manifest.json" in files or "branch.json" in files
        if not is_history and not any(run in one for one in still_open):
            problems.append(f"orphan {folder}: {' '.join(files) or 'empty'}")
    return problems


def everything(target, known, before):
    return (graph(target) + orphans(target) + strangers() + [f"orphan {place}" for place in places() - before]
            + leftovers(target) + unfinished(target) + papers(target, known) + frozen(target)
            + (claims(target) if target.mountpoints else content(target)))


def definition(target):
    """All that a command that has nothing to do must leave as it is."""
    # Of the mark that says who is at work libvirt keeps the empty element.
    running = virsh("dumpxml", target.name).replace("  <metadata/>\n", "")
    return (running, virsh("dumpxml", target.name, "--inactive"),
            virsh("snapshot-list", target.name, "--name"), sorted(os.listdir(target.folder)))


def not_frozen_when_cut(target):
    """Disks whose frozen image holds an ext4 with a journal to replay: it was not frozen when the cut was made."""
    dirty = []
    for disk, chain in chains(target).items():
        if len(chain) < 2:
            continue
        image = chain[1]
        boot = sector(image, 0)
        start = int.from_bytes(boot[454:458], "little") if boot[450] not in (0, 0xEE) else 0
        if boot[450] == 0xEE:
            start = int.from_bytes(sector(image, 1024)[32:40], "little")
        block = sector(image, start * 512 + 1024)
        if block[56:58] == b"\x53\xef" and int.from_bytes(block[96:100], "little") & 4:
            dirty.append(f"{disk} has a journal to replay")
    return dirty


def sector(image, offset):
    told = asked(image, f"read -v {offset} 512")
    told.check_returncode()
    return b"".join(dumped(told))[:512].ljust(512, b"\0")


def asked(image, *commands):
    """qemu-io on an image that QEMU may have open."""
    kind = "raw" if image.endswith(".raw") else "qcow2"
    words = [word for command in commands for word in ("-c", command)]
    return subprocess.run(["qemu-io", "-r", "-U", "-f", kind, *words, image], capture_output=True, text=True)


def dumped(told):
    """The bytes of each line that it dumped."""
    rows = [line for line in told.stdout.splitlines() if ":  " in line[:12]]
    return [bytes.fromhex(row.split("  ")[1].replace(" ", "")) for row in rows]
