"""What is installed, what this machine has, and what to do about what is missing.

Versions are read from the packages' metadata and the machine's size from the system, so that nothing heavy is imported
and a broken package cannot break the check-up. Limits that a container or a hub sets count, not what the host has.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

NAME = "causalmix_nb"
LEAST_MEMORY, LEAST_DISK = 2e9, 1e9  # bytes that the demo study needs, with room
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PLACES = {  # variable of the environment -> where we are
    "BINDER_SERVICE_HOST": "Binder",
    "BINDER_LAUNCH_HOST": "Binder",
    "COLAB_RELEASE_TAG": "Colab",
    "KAGGLE_KERNEL_RUN_TYPE": "Kaggle",
    "CODESPACES": "GitHub Codespaces",
    "JUPYTERHUB_API_TOKEN": "JupyterHub",
    "VSCODE_PID": "VS Code",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ok: True, False (needed and not there) or None (optional and not there)."""

    group: str  # "packages", "extras" or "machine"
    name: str
    found: str
    ok: bool | None
    advice: str = ""  # a command or a sentence, where something can be done


@dataclass(frozen=True, slots=True)
class CheckUp:
    """What :func:`doctor` found: ``checks`` in order, and in words what to do."""

    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Nothing that is needed is missing."""
        return all(check.ok is not False for check in self.checks)

    @property
    def verdict(self) -> str:
        wrong = [check for check in self.checks if check.ok is False]
        without = [check.name for check in self.checks if check.group == "extras" and check.ok is None]
        rest = f" Extras not installed: {', '.join(without)}." if without else ""
        if not wrong:
            return f"Everything that is needed is here.{rest}"
        return f"To mend: {'; '.join(f'{c.name} ({c.found}) – {c.advice}' for c in wrong)}.{rest}"

    def __str__(self) -> str:
        lines = [
            f"{_mark(c.ok)} {c.name}: {c.found}{f' – {c.advice}' if c.advice else ''}" for c in self.checks
        ]
        return "\n".join([self.verdict, *lines])


def _mark(ok: bool | None) -> str:
    return {True: "✓", False: "✗", None: "–"}[ok]


def doctor(folder: str | Path = "causalmix_study", environment: Mapping[str, str] | None = None) -> CheckUp:
    """Look at versions, extras and the machine.

    Parameters
    ----------
    folder: where a study is, or would be made.
    environment: variables that tell where we are; by default those of this process.

    >>> any(check.name == "Python" for check in doctor().checks)
    True
    """
    environment = os.environ if environment is None else environment
    python = Check("packages", "Python", platform.python_version(), sys.version_info >= (3, 11), "")
    return CheckUp((python, *_packages(), *_machine(Path(folder).expanduser(), environment)))


# -- packages -------------------------------------------------------------------------------------------------


def _packages() -> list[Check]:
    """The requirements of this package, as its metadata say, each with the version that is there."""
    try:
        requirements = metadata.requires(NAME) or []
        own = metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return [Check("packages", NAME, "used without being installed", None, "pip install -e .")]
    found = [Check("packages", NAME, own, True)]
    extras: dict[str, list[Check]] = {}
    for text in requirements:
        name, at_least, extra = _requirement(text)
        if not extra:
            found.append(_version(name, at_least))
        elif name != NAME:
            extras.setdefault(extra, []).append(_version(name, at_least))
    return found + [_extra(name, parts) for name, parts in sorted(extras.items())]


def _requirement(text: str) -> tuple[str, str, str]:
    """Name, least version and extra of a requirement.

    >>> _requirement("econml>=0.16; extra == 'forest'"), _requirement("ray[default]>=2")
    (('econml', '0.16', 'forest'), ('ray', '2', ''))
    """
    from packaging.requirements import Requirement

    wanted = Requirement(text)
    least = next((part.version for part in wanted.specifier if part.operator in (">=", "==", "~=")), "")
    extra = str(wanted.marker).partition("extra ==")[2].strip(" \"'") if wanted.marker else ""
    return wanted.name, least, extra


def _version(name: str, at_least: str) -> Check:
    from packaging.version import InvalidVersion, Version

    install = f"pip install '{name}{f'>={at_least}' if at_least else ''}'"
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check("packages", name, "missing", False, install)
    try:
        old = bool(at_least) and Version(found) < Version(at_least)
    except InvalidVersion:
        old = False
    return Check("packages", name, found, not old, install.replace("install", "install -U", 1) if old else "")


def _extra(name: str, parts: Iterable[Check]) -> Check:
    parts = list(parts)
    lacking = [part for part in parts if not part.ok]
    text = ", ".join(f"{part.name} {part.found}" for part in parts)
    return Check(
        "extras", name, text, None if lacking else True, f"pip install '{NAME}[{name}]'" if lacking else ""
    )


# -- the machine ----------------------------------------------------------------------------------------------


def _machine(folder: Path, environment: Mapping[str, str]) -> list[Check]:
    memory, there = _memory(environment), _nearest(folder)
    disk = shutil.disk_usage(there).free
    cores = _cores(environment)
    checks = [
        Check("machine", "place", _place(environment), True),
        Check("machine", "device", *_device()),
        Check("machine", "cores", f"{cores:g}", True),
    ]
    if memory is None:
        checks.append(Check("machine", "memory", "unknown", None))
    else:
        small = (
            "" if memory >= LEAST_MEMORY else "close other kernels, and train fewer runs at once: --workers 1"
        )
        checks.append(Check("machine", "memory", size(memory), None if small else True, small))
    little = "" if disk >= LEAST_DISK else "free some, or take another folder: --study FOLDER"
    checks.append(Check("machine", "disk", f"{size(disk)} free", not little, little))
    checks.append(_writable(folder, there))
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    advice = "" if browser else "only the browser tests of this package need one"
    checks.append(
        Check(
            "machine",
            "browser",
            Path(browser).name if browser else "no Chromium",
            True if browser else None,
            advice,
        )
    )
    return checks


def size(n_bytes: float) -> str:
    """
    >>> size(16.2e9), size(3e6)
    ('16.2 GB', '3 MB')
    """
    return f"{n_bytes / 1e9:.3g} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.3g} MB"


def _place(environment: Mapping[str, str]) -> str:
    known = next((where for name, where in PLACES.items() if environment.get(name)), "this machine")
    return f"{known}, {platform.system()} {platform.machine()}"


def _device() -> tuple[str, bool | None, str]:
    """The accelerator that torch would train on; torch itself is only asked if it is loaded already."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return f"{properties.name}, {size(properties.total_memory)}", True, ""
    card = _nvidia()
    if card is None:
        mac = platform.system() == "Darwin" and platform.machine() == "arm64"
        return ("Apple GPU (mps)" if mac else "CPU"), True, ""
    try:
        build = metadata.version("torch")
    except metadata.PackageNotFoundError:
        build = ""
    if "+cpu" in build or torch is not None:
        return f"{card}, which this torch ({build}) cannot use", None, "install torch for CUDA: pytorch.org"
    return card, True, ""


def _nvidia() -> str | None:
    if (tool := shutil.which("nvidia-smi")) is None:
        return None
    command = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        text = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
        name, _, mib = text.strip().split("\n")[0].rpartition(",")
        return f"{name.strip()}, {size(float(mib) * 2**20)}"
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _memory(environment: Mapping[str, str]) -> float | None:
    """Bytes of memory: the least of the machine's and of what a hub or a container allows."""
    known = [_number(environment.get("MEM_LIMIT", "")), _number(_read("/sys/fs/cgroup/memory.max"))]
    try:
        known.append(float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    except (AttributeError, ValueError, OSError):
        pass
    return min((value for value in known if value), default=None)


def _cores(environment: Mapping[str, str]) -> float:
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    allowed = (_number(quota) or 0.0) / (_number(period) or 1.0)
    return min(value for value in (cores, allowed, _number(environment.get("CPU_LIMIT", ""))) if value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _nearest(folder: Path) -> Path:
    """The folder, or the first one above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.is_dir())


def _writable(folder: Path, there: Path) -> Check:
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Check(
            "machine", "study folder", f"{folder}: {error.strerror}", False, "take another: --study FOLDER"
        )
    text = "can be written" if there == folder else "can be made"
    return Check("machine", "study folder", f"{folder} {text}", True)
