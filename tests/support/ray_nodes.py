"""A Ray cluster of two nodes on one machine, the second in its own network namespace if permitted."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

MARK = "PERMIX_TEST_NODE"
"""Environment variable that the processes of a node inherit."""


class TwoNodes:
    """Two running nodes; ``close`` kills their remaining processes by id.

    Attributes:
        address: value for ``RAY_ADDRESS``.
        apart: whether the second node has its own network namespace, connected by a pair of virtual devices.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._mark = secrets.token_hex(3)
        subnet = f"10.213.{int(self._mark[:2], 16)}"
        self._namespace, self._devices = f"permix-{self._mark}", (f"px{self._mark}a", f"px{self._mark}b")
        self._temporary = f"/tmp/ray-{self._mark}"  # Unix sockets have short paths, and pytest's folders are long
        self.apart = self._make_network(subnet)
        self._addresses = (f"{subnet}.1", f"{subnet}.2") if self.apart else ("127.0.0.1", "127.0.0.1")
        with socket.socket() as sock:
            sock.bind((self._addresses[0], 0))
            port = sock.getsockname()[1]
        self.address = f"{self._addresses[0]}:{port}"
        try:
            head = ["--head", "--port", str(port), "--include-dashboard", "false", "--temp-dir", self._temporary]
            self._start(0, *head)
            self.start_second()
        except BaseException:
            self.close()
            raise

    def start_second(self) -> None:
        self._start(1, "--address", self.address)

    def kill_second(self) -> None:
        """Send SIGKILL to every process of the node, as if its machine lost power."""
        killed = self._kill(f"{self._mark}-1")
        assert killed > 1, "the node had no raylet with workers"

    def close(self) -> None:
        for number in (0, 1):
            self._kill(f"{self._mark}-{number}")
        if self.apart:
            _ip("netns", "del", self._namespace)
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _start(self, number: int, *arguments: str) -> None:
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus", "32", "--num-gpus", "1"]
        ray += ["--node-ip-address", self._addresses[number], *arguments]
        environment = self._environment | {MARK: f"{self._mark}-{number}"}
        if self.apart:
            environment["GLOO_SOCKET_IFNAME"] = self._devices[number]
            ray = ["ip", "netns", "exec", self._namespace, *ray] if number else ray
        done = subprocess.run(ray, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    def _make_network(self, subnet: str) -> bool:
        here, there = self._devices
        inside = ("-n", self._namespace)
        steps = [
            ("netns", "add", self._namespace),
            ("link", "add", here, "type", "veth", "peer", "name", there, "netns", self._namespace),
            ("addr", "add", f"{subnet}.1/30", "dev", here),
            ("link", "set", here, "up"),
            (*inside, "addr", "add", f"{subnet}.2/30", "dev", there),
            (*inside, "link", "set", there, "up"),
            (*inside, "link", "set", "lo", "up"),
        ]
        made = all(_ip(*step) for step in steps)
        if not made:
            _ip("netns", "del", self._namespace)
        return made

    def _kill(self, mark: str) -> int:
        killed = 0
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                variables = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
                if os.fsencode(f"{MARK}={mark}") in variables:
                    process.kill()
                    killed += 1
        return killed


def _ip(*arguments: str) -> bool:
    try:
        return subprocess.run(["ip", *arguments], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
