"""Remedies for a bubblewrap that fails: first the one that fits its message and this machine, then the others."""

import os
import re
from pathlib import Path

KERNEL = Path("/proc/sys")
STATUS = Path("/proc/self/status")
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"), Path("/var/run/secrets/kubernetes.io"))

REMEDIES = {
    "old": "install bubblewrap 0.8 or later, as the first bwrap on PATH",
    "clone": "let users create namespaces: sysctl kernel.unprivileged_userns_clone=1",
    "apparmor": "let users create namespaces (Ubuntu 24.04): sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    "number": "allow more namespaces, and do not nest containers: sysctl user.max_user_namespaces=15000",
    "container": "let the container create namespaces: docker run --security-opt seccomp=unconfined --security-opt "
    "apparmor=unconfined, or --privileged",
    "processes": "allow more processes and open files: docker run --pids-limit, ulimit -u, ulimit -n",
    "space": "free memory, and space on /tmp and /dev/shm",
}
"""Cause -> remedy, in the order in which they are listed if no cause is recognized."""
_REFUSED = re.compile(
    r"bwrap: .*(No permissions to|Permission denied|Operation not permitted|not support user namespaces)"
)


def remedies(message: str) -> str:
    """Return the remedy for a failure, then the others.

    Args:
        message: bubblewrap's error message, or the error of starting it.
    """
    cause = _cause(message)
    first = f"{REMEDIES[cause]}; if that is not enough: " if cause else "one of these helps: "
    return first + "; ".join(text for name, text in REMEDIES.items() if name != cause)


def _cause(message: str) -> str | None:
    """Return the key of the remedy that the message and the kernel's settings point to."""
    if "Unknown option" in message:
        return "old"
    if re.search(r"Resource temporarily unavailable|Too many open files", message):
        return "processes"
    # From clone and unshare, "no space" means too many namespaces, not a lack of space.
    if re.search(r"ENOSPC|max_\S*namespaces|(namespace|unshare).*No space left", message):
        return "number"
    if re.search(r"No space left|Cannot allocate memory", message):
        return "space"
    return _refused_by(message) if _REFUSED.search(message) else None


def _refused_by(message: str) -> str | None:
    """Return what refuses: the kernel's settings for unprivileged users, or a container's filter."""
    as_user = os.geteuid() != 0
    if as_user and _setting("kernel/unprivileged_userns_clone") == "0":
        return "clone"
    if _setting("user/max_user_namespaces") == "0":
        return "number"
    # AppArmor allows the namespace and removes its capabilities, so the first step inside fails.
    apparmor = as_user and _setting("kernel/apparmor_restrict_unprivileged_userns") == "1"
    if apparmor and re.search(r"uid map|RTM_NEWADDR", message):
        return "apparmor"
    if _in_container():
        return "container"
    return "apparmor" if apparmor else None


def _setting(name: str) -> str:
    """Return a kernel setting, or an empty string if this kernel lacks it."""
    try:
        return (KERNEL / name).read_text().strip()
    except OSError:
        return ""


def _in_container() -> bool:
    """Return whether there is a container's marker file or a system-call filter."""
    if any(mark.exists() for mark in CONTAINER_MARKS):
        return True
    try:
        return re.search(r"^Seccomp:\s*2$", STATUS.read_text(), re.MULTILINE) is not None
    except OSError:
        return False
