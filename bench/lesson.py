"""Measures a class on this machine: students who log in to a JupyterHub, run notebook 03 and drag.

Run as ``python -m bench.lesson 20``. All begin at the same moment, and all drag at the same time,
which is more than a class does.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench import hub
from bench.students import PATIENCE, Student

NOTEBOOK = "03-backward-pass.ipynb"
MOVES = 60
WIDGET = "application/vnd.jupyter.widget-view+json"
PICTURE = "image/svg+xml"


@dataclass(frozen=True)
class Hour:
    """What one student met; times in seconds, sizes in MB.

    `picture` is from the login to the first picture, of which `server` is the time until the
    page came and `kernel` that until the kernel answered; `notebook` is the rest of it. What was
    computed for it by the student's server and kernel, in seconds of one core: `work` until the
    notebook's end, `drag` for a move of a slider. `pried` counts what a kernel could read that is
    another's.
    """

    server: float
    kernel: float
    picture: float
    notebook: float
    work: float
    drag: float
    ticks: tuple[float, ...]
    cached: int
    rss: float
    pss: float
    private: float
    pried: int


def megabytes(pid: str) -> tuple[float, float, float]:
    """A process's memory: what it sees, its share of it, and what is its own alone."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")

    def of(*names: str) -> float:
        return sum(int(kb) for name in names for kb in re.findall(rf"^{name}: +(\d+)", text, re.M))

    sizes = (of("Rss"), of("Pss"), of("Private_Clean", "Private_Dirty"))
    rss, pss, private = (size * 1024 / 1e6 for size in sizes)
    return rss, pss, private


def seconds(pid: str) -> float:
    """What a process has computed, in seconds of one core."""
    numbers = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def lesson(place: hub.Hub, name: str, together: Callable[[], object], processes: set[str]) -> Hour:
    """One student's hour; `together` waits for the others, whose `processes` come to be known."""
    student = Student(place.address, name, place.password)
    together()
    begin = time.monotonic()
    student.log_in()
    server = time.monotonic() - begin
    cells = student.cells(NOTEBOOK)
    student.start_kernel()
    kernel = time.monotonic() - begin
    (printed,) = student.run("import os\nprint(os.getpid(), os.getppid())")
    pids = printed["text/plain"].split()  # the kernel's and the server's
    processes.update(pids)
    picture = 0.0
    widget = ""
    for cell in cells:
        for output in student.run(cell):
            if PICTURE in output and not picture:
                picture = time.monotonic() - begin
            if WIDGET in output and not widget:
                widget = output[WIDGET]["model_id"]
    notebook = time.monotonic() - begin - picture
    work = sum(map(seconds, pids))
    together()
    ticks, cached = student.drag(widget, MOVES)
    drag = (sum(map(seconds, pids)) - work) / MOVES
    together()
    rss, pss, private = map(sum, zip(*map(megabytes, pids), strict=True))
    others = [f"/proc/{pid}/environ" for pid in processes - set(pids)]
    others += [str(place.home(other) / NOTEBOOK) for other in place.names if other != name]
    pried = len(student.readable([*others, str(place.folder / "hub.sqlite")]))
    together()  # shares are fair while all are there
    student.close()
    return Hour(
        server,
        kernel,
        picture,
        notebook,
        work,
        drag,
        tuple(ticks),
        cached,
        rss,
        pss,
        private,
        pried,
    )


def measured(count: int, system_users: bool, folder: Path) -> list[Hour]:
    """The hours of so many students on a new hub."""
    names = [f"avz-student-{number}" for number in range(1, count + 1)]
    if system_users:
        for name in names:
            subprocess.run(["useradd", "--create-home", name], check=True)
    try:
        with hub.running(folder, names, system_users) as place:
            for name in names:
                give(place, name)
            barrier = threading.Barrier(count)
            processes: set[str] = set()
            with ThreadPoolExecutor(count) as pool:
                lessons = [
                    pool.submit(lesson, place, name, lambda: barrier.wait(PATIENCE), processes)
                    for name in names
                ]
                return [one.result() for one in lessons]
    finally:
        if system_users:
            for name in names:
                subprocess.run(["userdel", "--remove", name], capture_output=True)


def give(place: hub.Hub, name: str) -> None:
    """Put the notebook into a student's home, as nbgitpuller does, closed to others as in TLJH."""
    home = place.home(name)
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(hub.ROOT / "notebooks" / NOTEBOOK, home)
    if place.system_users:
        shutil.chown(home / NOTEBOOK, name)
        home.chmod(0o750)


def p95(times: Sequence[float]) -> float:
    """The time that one in twenty exceeds."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def said(hours: Sequence[Hour]) -> str:
    """The table of an hour."""
    ticks = [tick for hour in hours for tick in hour.ticks]
    cached = sum(hour.cached for hour in hours)
    rows: list[tuple[str, Sequence[float], str]] = [
        ("the page, from the login", [hour.server for hour in hours], "s"),
        ("the kernel, from the login", [hour.kernel for hour in hours], "s"),
        ("the first picture, from the login", [hour.picture for hour in hours], "s"),
        ("the rest of the notebook", [hour.notebook for hour in hours], "s"),
        ("one core's work for the notebook", [hour.work for hour in hours], "s"),
        ("one core's work for a move", [1000 * hour.drag for hour in hours], "ms"),
        (f"a tick that the kernel computes ({len(ticks)})", [1000 * tick for tick in ticks], "ms"),
        ("memory a student, RSS", [hour.rss for hour in hours], "MB"),
        ("memory a student, PSS", [hour.pss for hour in hours], "MB"),
        ("memory a student, private", [hour.private for hour in hours], "MB"),
    ]
    lines = [
        f"{len(hours)} students on {os.cpu_count()} cores",
        f"{'':40} {'median':>9} {'p95':>9} {'most':>9}",
    ]
    for title, values, unit in rows:
        figures = (statistics.median(values), p95(values), max(values))
        lines.append(f"{title:40} " + " ".join(f"{one:9.1f}" for one in figures) + f" {unit}")
    pried = sum(hour.pried for hour in hours)
    lines.append(f"{pried} files and processes of others could be read from the kernels")
    lines.append(f"{cached} of {cached + len(ticks)} moves asked nobody: the kernel was ahead")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.lesson", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=2, help="how many students")
    parser.add_argument(
        "--system-users",
        action="store_true",
        help="as root: make a user of this system for each student, and delete them in the end",
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hub-") as folder:
        print(said(measured(given.count, given.system_users, Path(folder))))


if __name__ == "__main__":
    main()
