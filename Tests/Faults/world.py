# SPDX-License-Identifier: Apache-2.0
"""The place where faults are made: a libvirt daemon, guests and state of its own.

`run` has put this process into a mount namespace in which libvirt's folders are private, so that a daemon can be killed
here without taking anybody else's with it.
"""

import base64
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
import tty
import uuid as uuids

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
LAB = os.path.join(REPOSITORY, "Tests/Lab/lab")
PREFIX = os.environ.get("STILLPOINT_LAB_PREFIX", "stillpoint-lab-faults")
WORK = os.environ["STILLPOINT_FAULTS_WORK"]
BINARY = os.environ["STILLPOINT_FAULTS_BINARY"]
PID_FILE = "/run/libvirt/faults.pid"
QUIET = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}


def say(text):
    print(f"faults: {text}", file=sys.stderr, flush=True)


# Behind what makes a fault inside a guest: demanded afterwards.
MARK = "&& >/run/faults.mark"


class Daemon:
    """libvirtd, ours alone."""

    def start(self):
        with open(f"{WORK}/libvirtd.log", "a") as log:
            subprocess.run(["libvirtd", "--daemon", "--pid-file", PID_FILE], check=True, stdout=log, stderr=log,
                           stdin=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while subprocess.run(["virsh", "-q", "uri"], **QUIET).returncode != 0:
            if time.monotonic() > end:
                raise RuntimeError(f"the private libvirtd does not answer; see {WORK}/libvirtd.log")
            time.sleep(0.1)

    def pid(self):
        try:
            with open(PID_FILE) as file:
                pid = int(file.read())
            with open(f"/proc/{pid}/stat") as file:
                words = file.read().split()
            return pid if words[1] == "(libvirtd)" and words[2] != "Z" else None
        except (OSError, ValueError):
            return None

    def kill(self, number=signal.SIGKILL):
        pid = self.pid()
        if pid is None:
            return
        os.kill(pid, number)
        while self.pid() == pid:
            time.sleep(0.01)


def virsh(*words, timeout=60, check=True):
    ended = subprocess.run(["virsh", "-q", *words], timeout=timeout, **QUIET)
    if check and ended.returncode != 0:
        raise RuntimeError(f"virsh {' '.join(words)}: {ended.stderr.strip()}")
    return ended.stdout.strip()


class Ended:
    def __init__(self, status, output, errors, seconds, mark, trace, mebibytes=""):
        self.status, self.output, self.errors, self.seconds = status, output, errors, seconds
        self.mark, self.trace, self.mebibytes = mark, trace, mebibytes

    @property
    def fired(self):
        return bool(self.mark)

    @property
    def killed_at(self):
        """The moment of the mark, by the host's clock."""
        return int(self.mark.split()[2]) / 1000 if self.mark else None

    @property
    def json(self):
        try:
            return json.loads(self.output)
        except ValueError:
            return {}

    @property
    def level(self):
        return self.json.get("verdict", {}).get("consistency", "")

    @property
    def frozen(self):
        """How many filesystems the guest said that it froze; None where it did not say."""
        members = self.json.get("members") or [{}]
        return members[0].get("freeze", {}).get("guestReported", {}).get("frozen")

    @property
    def last_line(self):
        lines = [line for line in self.errors.splitlines() if line.strip()]
        return lines[-1] if lines else ""


class Target:
    """A domain with images in one folder, and the command under test with a state folder of its own."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.state = os.path.join(WORK, "state", name)
        os.makedirs(self.state, mode=0o700, exist_ok=True)
        self.uuid = virsh("domuuid", name)
        self.files = set(os.listdir(folder))
        self.disks = self.images()
        self.mark_file = os.path.join(WORK, f"{name}.mark")
        self.trace_file = os.path.join(WORK, f"{name}.trace")

    def images(self, saved=False):
        table = virsh("domblklist", self.name, *(["--inactive"] if saved else []))
        rows = [line.split(None, 1) for line in table.splitlines()]
        return {row[0]: row[1].strip() for row in rows if len(row) == 2}

    def command(self, words, failpoint=None, environment=None):
        """What `spawn` and `stillpoint` share: arguments and environment."""
        for file in (self.mark_file, self.trace_file):
            if os.path.exists(file):
                os.unlink(file)
        changed = dict(os.environ, **(environment or {}))
        changed["STILLPOINT_FAILPOINT_MARK"] = self.mark_file
        changed["STILLPOINT_FAILPOINT_TRACE"] = self.trace_file
        if failpoint:
            changed["STILLPOINT_FAILPOINT"] = failpoint
        return [BINARY, "--state-dir", self.state, *words], changed

    def spawn(self, words, failpoint=None, environment=None):
        command, changed = self.command(words, failpoint, environment)
        return subprocess.Popen(command, env=changed, **QUIET)

    def halt(self, words, failpoint, environment=None, timeout=60):
        """A run that stands still at a failpoint, or has ended before it came there."""
        process = self.spawn(words, f"{failpoint}:stop", environment)
        end = time.monotonic() + timeout
        while process.poll() is None and not read(self.mark_file) and time.monotonic() < end:
            time.sleep(0.005)
        return process

    def finish(self, process, begin, timeout=180):
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            errors += f"\nfaults: it had not ended after {timeout} s"
        return Ended(process.returncode, output, errors, time.monotonic() - begin, read(self.mark_file),
                     read(self.trace_file).splitlines())

    def stillpoint(self, *words, failpoint=None, environment=None, timeout=300):
        begin = time.monotonic()
        return self.finish(self.spawn(words, failpoint, environment), begin, timeout)

    def measured(self, *words, timeout=240):
        """As `stillpoint`, with the most memory that it took. wait4 alone tells that, and subprocess does not ask it."""
        command, changed = self.command(words)
        begin = time.monotonic()
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(command, env=changed, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
            late = ""
            pid = 0
            while not pid:
                time.sleep(0.01)
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if not pid and not late and time.monotonic() > begin + timeout:
                    os.kill(process.pid, signal.SIGKILL)
                    late = f"\nfaults: it had not ended after {timeout} s"
            seconds = time.monotonic() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
            told = []
            for file in (output, errors):
                file.seek(0)
                told.append(file.read().decode(errors="replace"))
        return Ended(process.returncode, told[0], told[1] + late, seconds, read(self.mark_file),
                     read(self.trace_file).splitlines(), round(usage.ru_maxrss / 1024))

    def guardians(self):
        return [pid for pid, line in processes() if "stillpoint-guard" in line.split("\0")[0] and self.uuid in line]

    def await_guardians(self, seconds):
        end = time.monotonic() + seconds
        while self.guardians():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def restore(self):
        """As it was made, by whatever works: one failed case shall not take the others with it."""
        state = virsh("domstate", self.name, check=False)
        if state in ("paused", "shut off"):
            virsh("resume" if state == "paused" else "start", self.name, check=False)
        for target in self.disks:
            virsh("blockjob", self.name, target, "--abort", check=False)
        self.stillpoint("recover", self.name)
        self.stillpoint("prune", self.name, "--abandoned")
        self.stillpoint("commit", self.name, "--all")
        for snapshot in virsh("snapshot-list", self.name, "--name", check=False).split():
            virsh("snapshot-delete", self.name, snapshot, "--metadata", check=False)
        virsh("metadata", self.name, "https://stillpoint.dev/owner/1", "--remove", "--live", check=False)
        if self.images() != self.disks or self.images(saved=True) != self.disks:
            raise RuntimeError(f"{self.name} cannot be put back onto its images: {self.images()}")
        for file in set(os.listdir(self.folder)) - self.files:
            path = os.path.join(self.folder, file)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        shutil.rmtree(self.state)
        os.makedirs(self.state, mode=0o700)


class BareDomain(Target):
    """A domain without an operating system, on two images of 16 MiB: where no guest has to answer, and what its guest would
    read is known to the byte."""

    mountpoints = []
    cells = 8

    def __init__(self, name=f"{PREFIX}-bare", disks=2):
        folder = os.path.join(WORK, "bare")
        os.makedirs(folder)
        os.chmod(folder, 0o755)
        devices = ""
        for letter in "abcd"[:disks]:
            image = f"{folder}/{letter}.qcow2"
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "16M"], check=True)
            devices += (f"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{image}'/>"
                        f"<target dev='vd{letter}' bus='virtio'/></disk>")
        definition = f"{WORK}/{name}.xml"
        with open(definition, "w") as file:
            file.write(f"<domain type='qemu'><name>{name}</name><uuid>{uuids.uuid4()}</uuid><memory unit='MiB'>32</memory>"
                       f"<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>{devices}"
                       "<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>")
        virsh("define", definition)
        virsh("start", name)
        super().__init__(name, folder)
        # What the guest reads; what it may read instead, after a fault in a revert; and what it read at each cut.
        self.content, self.or_else, self.cuts = {}, [], {}
        self.number = 0
        self.fill()

    def fill(self):
        for cell in range(self.cells):
            self.write(cell)

    def write(self, cell=None):
        """Another number into a cell of each disk, as the guest would, and to the file."""
        cell = (self.number if cell is None else cell) % self.cells
        self.number += 1
        for disk in self.disks:
            byte = (self.number * 2 + ord(disk[2])) % 255 + 1
            self.io(disk, f"write -P {byte} {cell * 64}k 64k", "flush")
            for content in [self.content, *self.or_else]:
                content[disk, cell] = byte

    def io(self, disk, *commands):
        """By QEMU itself, which keeps what it has to say about it in its log."""
        device = f"/machine/peripheral/virtio-disk{ord(disk[2]) - 97}/virtio-backend"
        virsh("; ".join(f"qemu-monitor-command {self.name} --hmp 'qemu-io -d {device} \"{command}\"'"
                        for command in commands))

    def command(self, words, failpoint=None, environment=None):
        if words[0] == "snapshot":
            self.cuts[words[words.index("--name") + 1]] = dict(self.content)
        return super().command(words, failpoint, environment)

    def snapshot(self, name):
        """One that is to stay, and a write into its overlays."""
        self.stillpoint("snapshot", self.name, "--name", name, "--no-freeze", "-q")
        self.write()

    def restore(self):
        super().restore()
        self.or_else, self.cuts = [], {}
        self.fill()

    def down(self):
        virsh("destroy", self.name, check=False)
        virsh("undefine", self.name, "--snapshots-metadata", "--checkpoints-metadata", check=False)
        forget_lock(self.uuid)


class LabGuest(Target):
    """A real guest of the lab."""

    places = {"plain": ["/"], "base": ["/", "/var/lib/postgresql", "/var/lib/mysql", "/srv/data", "/srv/scratch"]}

    def __init__(self, shape):
        self.mountpoints = self.places[shape]
        name = f"{PREFIX}-{shape}"
        say(f"booting {name}")
        subprocess.run([LAB, "up", shape, name], check=True, stdout=subprocess.DEVNULL)
        super().__init__(name, os.path.dirname(virsh("domblklist", name).split()[1]))
        self.watch()

    def down(self):
        subprocess.run([LAB, "down", self.name], check=False)
        forget_lock(self.uuid)

    def restore(self):
        super().restore()
        try:
            self.sh("systemctl stop 'stillpoint-*'; rm -rf /run/stillpoint; echo 0 >/sys/kernel/rcu_expedited")
        except RuntimeError as error:
            say(f"{self.name} keeps what the case left in it: {error}")

    def agent(self, request, timeout=10):
        reply = virsh("qemu-agent-command", self.name, "--timeout", str(timeout), json.dumps(request))
        return json.loads(reply)["return"]

    def awaits_agent(self, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                self.agent({"execute": "guest-ping"}, 2)
                return True
            except RuntimeError:
                time.sleep(0.3)
        return False

    def sh(self, script, *words, text="", seconds=60):
        """A script in the guest, through its agent; what it prints."""
        arguments = {"path": "/bin/sh", "arg": ["-c", script, "sh", *words], "capture-output": True}
        if text:
            arguments["input-data"] = base64.b64encode(text.encode()).decode()
        pid = self.agent({"execute": "guest-exec", "arguments": arguments})["pid"]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self.agent({"execute": "guest-exec-status", "arguments": {"pid": pid}})
            if status["exited"]:
                out = base64.b64decode(status.get("out-data", "")).decode(errors="replace")
                if status.get("exitcode") != 0:
                    err = base64.b64decode(status.get("err-data", "")).decode(errors="replace")
                    raise RuntimeError(f"in {self.name}: {status.get('exitcode')}: {out}{err}")
                return out.strip()
            time.sleep(0.05)
        raise RuntimeError(f"in {self.name}: no end after {seconds} s")

    def type(self, line, seconds=60):
        """A line typed at the guest's serial console, where a shell of root waits: needs no agent, and its words are read
        from memory when the disk is frozen. What it printed; None when it did not come back in time."""
        console = os.open(virsh("ttyconsole", self.name), os.O_RDWR | os.O_NOCTTY)
        try:
            tty.setraw(console, termios.TCSANOW)
            end = time.monotonic() + seconds
            # QEMU looks for an opened terminal once a second.
            while time.monotonic() < end:
                os.write(console, b"\n")
                if select.select([console], [], [], 0.5)[0]:
                    break
            word = uuids.uuid4().hex[:8]
            os.write(console, f"{line}\necho 'end' {word}\n".encode())
            heard = b""
            while time.monotonic() < end:
                if select.select([console], [], [], 0.2)[0]:
                    heard += os.read(console, 4096)
                    if f"end {word}".encode() in heard.replace(b"\r", b""):
                        return heard.decode(errors="replace")
            return None
        finally:
            os.close(console)

    # The clients of its databases.

    def load(self, what):
        subprocess.run([LAB, "load", self.name, what], check=True, stdout=subprocess.DEVNULL)

    def answered(self):
        """How much each engine's client has had for answers, asked at the console."""
        told = self.type("stat -c 'size %n %s' /run/lab/load/*", 60) or ""
        return dict(re.findall(r"size /run/lab/load/([a-z]+) ([0-9]+)", told))

    def silent_engines(self, seconds):
        """Those of which no client has an answer for so long. SQLite's gives up after 5 s, so another one is asked."""
        before = self.answered()
        time.sleep(seconds)
        after = self.answered()
        silent = {engine for engine in before if after.get(engine) == before[engine]} if before else {"any engine"}
        line = "sqlite3 -cmd '.timeout 5000' /srv/data/sqlite/load.db 'BEGIN IMMEDIATE; ROLLBACK;' && echo may'-'write"
        if "sqlite" in silent and "may-write" in (self.type(line, 30) or ""):
            silent.remove("sqlite")
        return sorted(silent)

    def unmade(self):
        self.sh("rm -f /run/faults.mark")

    def made(self):
        """Whether what was typed has done it: it leaves /run/faults.mark then."""
        line = "for n in 1 2 3 4 5; do [ -e /run/faults.mark ] && echo made'-'it && break; sleep 1; done"
        return "made-it" in (self.type(line, 30) or "")

    # How long writers waited, by a process inside.

    def watch(self):
        with open(os.path.join(HERE, "guest/stallwatch")) as file:
            self.sh("cat >/run/stallwatch && chmod 700 /run/stallwatch && systemd-run --quiet --collect "
                    "--unit=stallwatch /usr/bin/python3 /run/stallwatch \"$@\" && "
                    "until [ -s /run/stallwatch.pid ]; do sleep 0.1; done", *self.mountpoints, text=file.read())
        self.stalls()

    def stalls(self):
        """Waits above 20 ms since the last call, as (begin, end) by the host's clock."""
        script = ("kill -USR1 $(cat /run/stallwatch.pid) && until [ -e /run/stallwatch.json ]; do sleep 0.02; done && "
                  "cat /run/stallwatch.json && rm /run/stallwatch.json")
        before = time.time()
        try:
            told = self.sh(script)
        except RuntimeError:
            # Thawed by the dead-man, and the agent still believes that something is frozen.
            heard = re.search(r"\{.*\}", self.type(script) or "")
            if not heard:
                raise
            told = heard[0]
        told = json.loads(told)
        offset = (before + time.time()) / 2 - told["now"]
        return [(begin + offset, end + offset) for begin, end in told["stalls"]]


def processes():
    found = []
    for number in os.listdir("/proc"):
        if number.isdigit():
            try:
                with open(f"/proc/{number}/cmdline", "rb") as file:
                    found.append((int(number), file.read().decode(errors="replace")))
            except OSError:
                pass
    return found


def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def forget_lock(uuid):
    path = f"/run/stillpoint/lock/{uuid}"
    if re.fullmatch(r"[0-9a-f-]{36}", uuid) and os.path.exists(path):
        os.unlink(path)
