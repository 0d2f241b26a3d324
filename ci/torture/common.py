"""What the torture scripts share: the program, a folder, a process that is measured, and a table of what was found."""

import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Exit codes of poolproof that are an answer: passed, failed, usage, undecided, no stack, internal error with its reason, interrupted.
ANSWERS = {0, 1, 2, 3, 4, 70, 130}


def program():
    """The program: $POOLPROOF, or the newest one that was built here."""
    if named := os.environ.get("POOLPROOF"):
        return str(pathlib.Path(named).resolve())
    built = [ROOT / "target" / kind / "poolproof" for kind in ("release", "debug")]
    built = [path for path in built if path.exists()]
    if not built:
        sys.exit("no poolproof program: build it, or name it in POOLPROOF")
    return str(max(built, key=lambda path: path.stat().st_mtime))


def environment(folder, **more):
    """An environment without settings of the user; state, caches and temporary files lie in the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("POOLPROOF_", "GITHUB_", "XDG_"))}
    kept.pop("POOLPROOF", None)
    temporary = pathlib.Path(folder) / "tmp"
    temporary.mkdir(exist_ok=True)
    return kept | {
        "XDG_STATE_HOME": str(folder),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(pathlib.Path.home() / ".cache")),
        "TMPDIR": str(temporary),
    } | more


class Ended:
    """A process that has ended: code (negative for a signal), seconds, peak memory in MiB, output."""

    def __init__(self, code, seconds, peak_mib, out, err, in_time):
        self.code, self.seconds, self.peak_mib = code, seconds, peak_mib
        self.out, self.err, self.in_time = out, err, in_time


def run(arguments, folder, limit_s, env=None, prefix=(), preexec=None, stdout=None):
    """Runs poolproof in the folder. After the limit it is killed, which is a finding."""
    out = stdout or tempfile.TemporaryFile()
    err = tempfile.TemporaryFile()
    started = time.monotonic()
    child = subprocess.Popen(
        [*prefix, program(), *arguments], cwd=folder, env=env or environment(folder),
        stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=preexec,
    )
    in_time = True
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() - started > limit_s and in_time:
            in_time = False
            child.kill()
        time.sleep(0.01)
    child.returncode = os.waitstatus_to_exitcode(status)
    text = lambda file: (file.seek(0), file.read())[1].decode(errors="replace")
    return Ended(
        child.returncode, time.monotonic() - started, usage.ru_maxrss / 1024,
        text(out) if stdout is None else "", text(err), in_time,
    )


def record(path):
    """The record at a path, or None if there is none that is whole."""
    try:
        return json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError):
        return None


class Table:
    """The findings of a script: a line each, and an exit code."""

    def __init__(self, *headings):
        self.bad = 0
        print("| " + " | ".join((*headings, "found")) + " |")
        print("|" + "---|" * (len(headings) + 1), flush=True)

    def row(self, *cells, wrong):
        """Adds a line; `wrong` lists what is not as it must be."""
        self.bad += bool(wrong)
        shown = "; ".join(wrong) or "as it must be"
        shown = "".join(c if c.isprintable() and c != "|" else " " for c in shown)
        print("| " + " | ".join((*map(str, cells), shown[:600])) + " |", flush=True)

    def end(self):
        sys.exit(f"{self.bad} wrong" if self.bad else 0)


def processes_of(pattern):
    """Ids of processes whose command line has this text, without those that have ended."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
            except OSError:
                continue
            if pattern in line and state != "Z":
                found.append((int(entry.name), line))
    return found
