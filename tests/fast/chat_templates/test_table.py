"""The table of templates of our own, one of each behaviour, against the expected one."""

from pathlib import Path

import pytest

from permix_verl.chat_templates.template import STAND_IN_TOKENS
from permix_verl.cli.templates import MARK, main

from ...support.template_tokenizers import OWN, own_template

EXPECTED = OWN / "expected.md"


def test_the_table_of_our_own_templates(tmp_path: Path) -> None:
    out = tmp_path / "table.md"
    assert main([str(OWN), "--out", str(out)]) == 1, "some are refused"
    assert out.read_text() == EXPECTED.read_text()


def test_a_changed_template_changes_its_row(tmp_path: Path) -> None:
    changed = tmp_path / "templates"
    changed.mkdir()
    (changed / "own_turn.jinja").write_text(own_template("own_turn").replace("message['content']", "'x'"))
    assert main([str(changed), "--out", str(tmp_path / "table.md")]) == 1
    assert "refused: loses the user's text" in (tmp_path / "table.md").read_text()


def test_what_stands_above_the_mark_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "page.md"
    out.write_text(f"# Mine\n\n{MARK}old\n")
    assert main([str(OWN / "own_turn.jinja"), "--out", str(out), "--title", "One"]) == 0
    assert out.read_text().startswith(f"# Mine\n\n{MARK}## One\n")
    assert "old" not in out.read_text()


def test_a_template_is_written_as_a_run_renders_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "adapted.jinja"
    assert main([str(OWN / "drops_system.jinja"), "--adapt", "--out", str(out)]) == 0
    assert out.read_text().endswith(own_template("drops_system"))
    assert out.read_text() != own_template("drops_system")
    assert "personas stand in the user's turn" in capsys.readouterr().err
    assert STAND_IN_TOKENS["eos_token"] == "</s>"
