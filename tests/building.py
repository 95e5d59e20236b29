"""Builds the package as users get it, and environments without the sources to install it into."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def built(target: str, folder: Path, sources: Path = ROOT) -> Path:
    """The wheel or sdist that Hatchling makes of the sources, in a folder that was empty."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "-d", str(folder)]
    subprocess.run(command, cwd=sources, check=True, capture_output=True)
    (made,) = folder.iterdir()
    return made


def environment(folder: Path, *wheels: Path) -> Path:
    """The Python of a new environment with these wheels, which sees all others that are installed.

    It sees them through links, so that PyTorch's gigabyte is not copied. Our own package is left
    out, which is installed here from its sources.
    """
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    (python,) = scripts.glob("python.exe" if os.name == "nt" else "python")
    others = folder / "others"
    others.mkdir()
    for here in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for path in Path(here).iterdir():
            if "autograd_viz" not in path.name and path.suffix != ".pth":
                (others / path.name).symlink_to(path, target_is_directory=path.is_dir())
    site = run(python, "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(site, "others.pth").write_text(str(others), encoding="utf-8")
    if wheels:
        install = ("install", "--quiet", "--no-index", "--no-deps", *map(str, wheels))
        subprocess.run([str(python), "-m", "pip", *install], check=True, env=outside())
    return python


def outside(**variables: str) -> dict[str, str]:
    """The variables of this process, without those that name the sources."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, **variables}


def run(python: Path, program: str, folder: Path | None = None, **variables: str) -> str:
    """What a program prints that an environment's Python runs, away from the sources."""
    done = subprocess.run(
        [str(python), "-c", program],
        cwd=folder or python.parent,
        env=outside(**variables),
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
