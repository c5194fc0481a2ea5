"""Failures of bubblewrap: its real messages, and the remedy that the error names first."""

from pathlib import Path

import pytest

from permix_verl.sandbox import OFF, Sandbox, SandboxUnavailableError, remedies

NO_PERMISSIONS = (
    "bwrap: No permissions to create new namespace, likely because the kernel does not allow non-privileged user "
    "namespaces. See <https://deb.li/bubblewrap> or <file:///usr/share/doc/bubblewrap/README.Debian.gz>."
)
NUMBER = "bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded (ENOSPC)"
UID_MAP = "bwrap: setting up uid map: Permission denied"
CLONE = "kernel/unprivileged_userns_clone"
APPARMOR = "kernel/apparmor_restrict_unprivileged_userns"

FAILURES = [
    # message, kernel settings, in a container, as root, name of the remedy
    ("bwrap: Unknown option --as-pid-1", {}, True, True, "old"),
    (NO_PERMISSIONS, {CLONE: "0"}, False, False, "clone"),
    (NO_PERMISSIONS, {CLONE: "1"}, True, False, "container"),
    (NO_PERMISSIONS, {"user/max_user_namespaces": "0"}, False, False, "number"),
    (UID_MAP, {CLONE: "1", APPARMOR: "1"}, False, False, "apparmor"),
    ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", {APPARMOR: "1"}, False, False, "apparmor"),
    ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", {APPARMOR: "0"}, True, False, "container"),
    ("bwrap: Creating new namespace failed: Operation not permitted", {CLONE: "0"}, True, True, "container"),
    ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", {}, True, True, "container"),
    ("bwrap: Failed to make / slave: Permission denied", {APPARMOR: "1"}, True, True, "container"),
    (NUMBER, {}, False, True, "number"),
    ("bwrap: Creating new namespace failed: No space left on device", {}, True, True, "number"),
    ("bwrap: Creating new namespace failed: Resource temporarily unavailable", {}, True, True, "processes"),
    ("bwrap: Can't fork for pid 1: Resource temporarily unavailable", {}, False, False, "processes"),
    ("bwrap: Can't write data to file /dev/stdin: No space left on device", {}, False, True, "space"),
]


def on_machine(
    monkeypatch: pytest.MonkeyPatch, folder: Path, said: str, settings: dict[str, str], contained: bool, root: bool
) -> str:
    """Return the sandbox's error for a message of bubblewrap, on a machine with these settings."""
    for name, value in settings.items():
        file = folder / "sys" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value + "\n")
    (folder / "status").write_text("Name:\tpython\nSeccomp:\t0\n")
    (folder / "mark").touch()
    monkeypatch.setattr(remedies, "KERNEL", folder / "sys")
    monkeypatch.setattr(remedies, "STATUS", folder / "status")
    monkeypatch.setattr(remedies, "CONTAINER_MARKS", (folder / "mark",) if contained else ())
    (folder / "said").write_text(said + "\n")
    broken = folder / "bwrap"
    broken.write_text(f"#!/bin/sh\ncat '{folder / 'said'}' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(broken))
    monkeypatch.setattr("os.geteuid", lambda: 0 if root else 1000)
    with pytest.raises(SandboxUnavailableError) as raised:
        Sandbox()
    return str(raised.value)


@pytest.mark.parametrize(("said", "settings", "contained", "root", "name"), FAILURES)
def test_the_fitting_remedy_is_named_first(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    said: str,
    settings: dict[str, str],
    contained: bool,
    root: bool,
    name: str,
) -> None:
    message = on_machine(monkeypatch, tmp_path, said, settings, contained, root)
    assert f"{said}); {remedies.REMEDIES[name]}; if that is not enough: " in message
    assert all(message.count(text) == 1 for text in remedies.REMEDIES.values()), "the others follow, each once"
    assert "\n" not in message
    assert OFF in message


def test_a_system_call_filter_is_treated_as_a_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "one of these helps" in on_machine(monkeypatch, tmp_path, NO_PERMISSIONS, {}, False, False)
    (tmp_path / "filtered").write_text("Name:\tpython\nSeccomp:\t2\nSeccomp_filters:\t1\n")
    monkeypatch.setattr(remedies, "STATUS", tmp_path / "filtered")
    assert remedies.remedies(NO_PERMISSIONS).startswith(remedies.REMEDIES["container"])


@pytest.mark.parametrize("said", ["bwrap: execvp python3: No such file or directory", "no message", ""])
def test_an_unspecific_message_gets_all_remedies_unranked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str
) -> None:
    """Negative control: a container and a strict kernel, and a failure that has nothing to do with them."""
    message = on_machine(monkeypatch, tmp_path, said, {CLONE: "0", APPARMOR: "1"}, True, False)
    assert "; one of these helps: " in message
    assert "if that is not enough" not in message
