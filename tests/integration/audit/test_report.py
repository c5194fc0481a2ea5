"""Output of the audit: the terminal, the files, and hostile text that must have no effect."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from permix_verl.audit.cases import KINDS, MATH_VERIFY
from permix_verl.audit.printable import printable
from permix_verl.cli.main import run
from permix_verl.utils.commands import INTERRUPTED

from ...support.audit_rows import BOXED, TAGGED, WORDS, WRONG, write_rows


def test_the_table_and_the_cases_show_the_extracted_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    rows = [WORDS | {"label": True, "persona": "calm"}, BOXED | {"label": False, "persona": "pirate"}]
    file = write_rows(tmp_path, *rows, TAGGED | {"label": True, "persona": "pirate", "id": "t-1"})
    assert run(["audit", str(file)]) == 0
    text = capsys.readouterr().out
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["lenient", "strict", "math-verify"]
    assert lines[1] == ["answers", *["right", "none", "lost", "false"] * 3]
    blocks = "100.0 0.0 0 1", "33.3 66.7 2 1", "66.7 0.0 1 1"
    assert " ".join(lines[2]) == " ".join(["all 3", *blocks])
    assert "pirate 2 100.0 0.0 0 1 50.0 50.0 1 1 50.0 0.0 1 1" in map(" ".join, lines)
    assert "3 differences in 3 answers" in text
    order = [text.index(f"{KINDS[kind]}: 1 of 1") for kind in ("credited", "lenient alone", "strict")]
    assert order == sorted(order)
    case = text[order[1] :]
    assert "line 3, id t-1, persona pirate\n" in case
    for line in ("gold         18", "label        right", "lenient      correct, read 18  (mark: tag)"):
        assert f"  {line}\n" in case
    assert "  strict       no answer\n  math-verify  wrong, read 3\n  output ends  <answer>18</answer>" in case


def test_where_lenient_and_math_verify_differ_comes_before_where_strict_alone_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["audit", str(write_rows(tmp_path, WORDS, WORDS, BOXED, TAGGED)), "--show", "1"])
    text = capsys.readouterr().out
    assert ", line 4\n" in text
    assert ", line 1\n" not in text
    assert "lost" not in text.splitlines()[1]


def test_checkers_that_agree_leave_nothing_to_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Negative control: checkers that agree."""
    run(["audit", str(write_rows(tmp_path, BOXED | {"label": 1}, WRONG | {"label": 0}))])
    text = capsys.readouterr().out
    assert "0 differences in 2 answers" in text
    assert "output ends" not in text


def test_an_output_cannot_control_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\r\b\u202e\u2028\ud800\x9b31m"
    row = {"output": f"{hostile}<answer>18{hostile}</answer>{hostile} or $3$\nend", "gold": "18", "persona": hostile}
    run(["audit", str(write_rows(tmp_path, row | {"label": True, "id": hostile}))])
    text = capsys.readouterr().out
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert "\\x1b]0;owned\\x07" in text
    assert "\u23ce end" in text


def test_only_control_characters_are_escaped() -> None:
    harmless = "18 \\neq 19, é 答え 🙂 \u0301"
    assert printable(harmless) == harmless
    assert printable("a\nb\tc") == "a b c"
    assert printable("a\r\nb\tc\rd", lines=True) == "a\nb\tc\\x0dd"
    assert printable("\U000e0041\u200b") == "\\U000e0041\\u200b"


def test_lines_fit_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    row = TAGGED | {"label": False, "persona": "an old sailor who has seen every sea there is, and some that are not"}
    run(["audit", str(write_rows(tmp_path, row, {**row, "gold": "18" * 60}, *[row] * 60))])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_a_closed_pipe_is_no_failure(tmp_path: Path) -> None:
    file = write_rows(tmp_path, *[TAGGED] * 50)
    command = f"{sys.executable} -m permix_verl.cli.main audit {file} --show 50 --out {tmp_path / 'out'} | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "audit.html").is_file()


def ignores_interrupts(process: psutil.Process) -> bool:
    """Return whether a worker has started and ignores interrupts."""
    masks = re.findall(r"^Sig(?:Blk|Ign):\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
    return any(int(mask, 16) >> (signal.SIGINT - 1) & 1 for mask in masks)


def look_for_group(group: int, limit_s: float = 10) -> None:
    """Look until a process group is gone, which raises; orphans are there until they have been collected."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        os.killpg(group, 0)
        time.sleep(0.05)


def test_an_interrupt_ends_the_audit_and_its_workers_and_writes_nothing(tmp_path: Path) -> None:
    file = write_rows(tmp_path, *[{"output": "\\boxed{\\sqrt{25}}", "gold": "5"}] * 20_000)
    command = [sys.executable, "-m", "permix_verl.cli.main", "audit", str(file), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "MATH_REWARD_WORKERS": "1"}
    audit = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment)
    workers: list[psutil.Process] = []
    while len(workers) < 1 + min(4, os.cpu_count() or 1) or not all(map(ignores_interrupts, workers)):
        assert audit.poll() is None
        time.sleep(0.05)
        workers = psutil.Process(audit.pid).children()
    os.killpg(audit.pid, signal.SIGINT)
    _, message = audit.communicate(timeout=60)
    assert audit.returncode == INTERRUPTED
    assert "interrupted; no file is partly written" in message
    assert "Traceback" not in message
    assert not (tmp_path / "out").exists()
    with pytest.raises(ProcessLookupError):  # the whole group has ended
        look_for_group(audit.pid)


def test_the_files_have_every_output_and_the_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = [{**WORDS, "persona": "calm"}]
    rows.append({**TAGGED, "label": True, "persona": "pirate", "id": 7})
    run(["audit", str(write_rows(tmp_path, *rows)), "--out", str(tmp_path / "out")])
    assert "audit.html, audit.csv, audit.json" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "outputs.jsonl"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["audit.csv", "audit.html", "audit.json"]
    with (tmp_path / "out" / "audit.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["line"], first["persona"], first["label"], first["difference"]) == ("1", "calm", "", "strict")
    assert {name: second[name] for name in ("id", "mark", "gold", "label", "difference")} == {
        **{"id": "7", "mark": "tag", "gold": "18", "label": "true", "difference": "lenient alone"}
    }
    names = ("lenient", "strict", "math_verify", "lenient_pred", "strict_pred", "math_verify_pred")
    assert [second[name] for name in names] == ["correct", "no_answer", "wrong", "18", "", "3"]
    counts = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert counts["math_verify"] == "0.9.0"
    assert counts["overall"]["judges"][MATH_VERIFY] == {
        **{"correct": 1, "wrong": 1, "no_answer": 0, "timeout": 0, "error": 0, "lost": 1, "credited": 0}
    }
    assert set(counts["marks"]) == {"phrase", "tag"}
    assert counts["personas"]["pirate"]["differences"]["lenient alone"] == 1


def test_the_page_shows_differences_first_and_escapes_all_text(tmp_path: Path) -> None:
    attack = "</pre></article><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    row = TAGGED | {"output": f"<answer>18</answer> $3$ {attack}", "prompt": attack, "persona": attack, "id": attack}
    run(["audit", str(write_rows(tmp_path, BOXED, WORDS, row)), "--out", str(tmp_path / "out")])
    page = (tmp_path / "out" / "audit.html").read_text()
    assert page.count("<script") == 1
    assert "<img" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 5
    assert "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" in page.replace("&#39;", "'")
    places = [page.index(f"{KINDS[kind]}: 1 of 1") for kind in ("lenient alone", "strict", "agreed")]
    assert places == sorted(places)
    assert "http" not in page.replace("http-equiv", "")
    assert page.rstrip().endswith("</body>\n</html>")


def test_a_page_limits_its_cases_and_reports_the_number_omitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("permix_verl.audit.html_report.CASES", 3)
    run(["audit", str(write_rows(tmp_path, *[BOXED] * 4, TAGGED)), "--out", str(tmp_path / "out")])
    page = (tmp_path / "out" / "audit.html").read_text()
    assert page.count("<article") == 3
    assert "2 more are in audit.csv" in page
    assert f"{KINDS['lenient alone']}: 1 of 1" in page
    assert f"{KINDS['agreed']}: 2 of 4" in page
