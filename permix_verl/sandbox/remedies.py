"""What to do about a bubblewrap that fails: the remedy that fits its message and this machine, then the others."""

import os
import re
from pathlib import Path

KERNEL = Path("/proc/sys")
STATUS = Path("/proc/self/status")
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"), Path("/var/run/secrets/kubernetes.io"))

REMEDIES = {
    "old": "install bubblewrap 0.8 or later, as the first bwrap on PATH",
    "clone": "let users make namespaces: sysctl kernel.unprivileged_userns_clone=1",
    "apparmor": "let users make namespaces (Ubuntu 24.04): sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    "number": "allow more namespaces, and do not nest containers: sysctl user.max_user_namespaces=15000",
    "container": "give the container its rights: docker run --security-opt seccomp=unconfined --security-opt "
    "apparmor=unconfined, or --privileged",
    "processes": "allow more processes and open files: docker run --pids-limit, ulimit -u, ulimit -n",
    "space": "free memory, and space on /tmp and /dev/shm",
}
"""By what is missing, in the order in which they are named where nothing points to one of them."""
_REFUSED = re.compile(
    r"bwrap: .*(No permissions to|Permission denied|Operation not permitted|not support user namespaces)"
)


def remedies(said: str) -> str:
    """The remedy for a failure first, the others after it.

    Args:
        said: what bubblewrap wrote, or the error of starting it.
    """
    fits = _fitting(said)
    first = f"{REMEDIES[fits]}; if that is not enough: " if fits else "one of these helps: "
    return first + "; ".join(text for name, text in REMEDIES.items() if name != fits)


def _fitting(said: str) -> str | None:
    """Name of the remedy that the message and the kernel's settings point to."""
    if "Unknown option" in said:
        return "old"
    if re.search(r"Resource temporarily unavailable|Too many open files", said):
        return "processes"
    # Of clone and unshare "no space" is a number of namespaces, whatever space there is.
    if re.search(r"ENOSPC|max_\S*namespaces|(namespace|unshare).*No space left", said):
        return "number"
    if re.search(r"No space left|Cannot allocate memory", said):
        return "space"
    return _refused_by(said) if _REFUSED.search(said) else None


def _refused_by(said: str) -> str | None:
    """Who refuses: the kernel's settings for users without rights, or a container's filter."""
    as_user = os.geteuid() != 0
    if as_user and _setting("kernel/unprivileged_userns_clone") == "0":
        return "clone"
    if _setting("user/max_user_namespaces") == "0":
        return "number"
    # AppArmor lets the namespace be made and takes its rights, so that the first step inside is refused.
    apparmor = as_user and _setting("kernel/apparmor_restrict_unprivileged_userns") == "1"
    if apparmor and re.search(r"uid map|RTM_NEWADDR", said):
        return "apparmor"
    if _in_container():
        return "container"
    return "apparmor" if apparmor else None


def _setting(name: str) -> str:
    """A kernel setting; empty where this kernel does not have it."""
    try:
        return (KERNEL / name).read_text().strip()
    except OSError:
        return ""


def _in_container() -> bool:
    """A container's mark, or a filter on system calls."""
    if any(mark.exists() for mark in CONTAINER_MARKS):
        return True
    try:
        return re.search(r"^Seccomp:\s*2$", STATUS.read_text(), re.MULTILINE) is not None
    except OSError:
        return False
