"""Hand a finished run's results to its trackers; whatever one of them does, the run's outcome stays what it is."""

import os
import subprocess
import sys

from permix_verl.errors import first_line
from permix_verl.training.launch_settings import LaunchSettings
from permix_verl.training.trackers.chosen import chosen_trackers
from permix_verl.training.trackers.credentials import redact, secret_environment
from permix_verl.training.trackers.environment import tracker_environment
from permix_verl.training.trackers.results import collect_results

UPLOAD_S = 180
"""Seconds that a tracker may take; W&B alone waits 90 s for its server."""


def finish_trackers(settings: LaunchSettings) -> None:
    """Log figure, robustness, checks and sampled completions to the same run of every chosen tracker.

    A tracker that fails gives one line on stderr, with its reason.
    """
    names = chosen_trackers(settings.config)
    if not names:
        return
    try:
        results = collect_results(settings.config, settings.folder).to_json()
        ours = tracker_environment(settings.config, settings.folder)
    except Exception as error:
        print(f"warning: the trackers did not get the run's results: {redact(first_line(error))}", file=sys.stderr)
        return
    problems = {name: _upload(name, results, os.environ | secret_environment() | ours) for name in names}
    for name, problem in problems.items():
        if problem:
            print(f"warning: {name} did not get the run's results: {problem}", file=sys.stderr)
    done = [name for name, problem in problems.items() if not problem]
    if done:
        print(f"trackers  {', '.join(done)}: figure, checks and sampled completions logged")


def _upload(name: str, results: str, environment: dict[str, str]) -> str | None:
    """Run the upload in a process of its own; return its problem in one line, without credentials."""
    command = [sys.executable, "-m", "permix_verl.training.trackers.upload", name]
    try:
        done = subprocess.run(
            command, input=results, env=environment, capture_output=True, text=True, errors="replace", timeout=UPLOAD_S
        )
    except subprocess.TimeoutExpired:
        return f"no end after {UPLOAD_S} s"
    except OSError as error:
        return first_line(error)
    if done.returncode == 0:
        return None
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return redact(lines[-1] if lines else f"exit status {done.returncode}", secret_environment(environment))[:300]
