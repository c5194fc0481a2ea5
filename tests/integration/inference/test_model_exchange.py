"""An endpoint whose model is exchanged under the same name: between two calls, in the middle of one, or not at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from permix_verl.cli import eval as run
from permix_verl.cli import judge as personagym
from permix_verl.cli import prep_sft as gsm8k_sft
from permix_verl.cli import report
from permix_verl.errors import UserError
from permix_verl.inference.served_model import PROBES, Continuation, ServedModel, logprob_distance

from ...fast.sft_targets.test_rewriting import arguments as rewriting
from ...fast.sft_targets.test_rewriting import faithful
from ...support.endpoint import Reply, Server, chat, continued, refusal
from ...support.fidelity_stage import arguments, perform, real_calls


def command(server: Server, folder: Path, runs: int = 1) -> list[str]:
    problems = folder / "problems.jsonl"
    rows = [{"question": f"Problem {number}", "answer": "#### 4"} for number in range(3)]
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["--base-url", server.url, "--model", "served-a", "--tasks", f"gsm8k={problems}", "--runs", str(runs)]
    return [*given, "--personas", "eval:teacher,lawyer", "--out", str(folder / "results"), "--retries", "1"]


def stored(folder: Path) -> int:
    return len((folder / "results" / "samples" / "gsm8k.jsonl").read_text().splitlines())


@pytest.fixture
def vllm(server: Server) -> Server:
    server.owner, server.answer = "vllm", lambda body, attempt: chat("4", prompt_tokens=10 * len(body["messages"]))
    server.record, server.continue_texts = {"root": "/adapters/a", "parent": "base", "created": 1}, continued()
    return server


def test_an_adapter_that_was_exchanged_between_two_calls_is_refused_and_nobody_is_asked(
    vllm: Server, tmp_path: Path
) -> None:
    assert run.main(command(vllm, tmp_path)) == 0
    assert vllm.url not in (tmp_path / "results" / "served.json").read_text(), "the same model may lie elsewhere"
    vllm.continue_texts, vllm.record = continued(0.3), {"root": "/adapters/b", "parent": "base"}
    asked = len(real_calls(vllm))
    with pytest.raises(UserError) as refused:
        run.main(command(vllm, tmp_path, runs=2))
    assert f"served as 'served-a' at {vllm.url}: its log-probs of fixed texts differ by 0.3 nats" in str(refused.value)
    assert "root was '/adapters/a' and is '/adapters/b'; give another --out, or serve" in str(refused.value)
    assert (stored(tmp_path), len(real_calls(vllm))) == (9, asked)
    reported(tmp_path)  # the second run was refused, so none of its samples is missing
    # The same adapter again: the folder goes on.
    vllm.continue_texts, vllm.record = continued(), {"root": "/adapters/a", "parent": "base"}
    assert run.main(command(vllm, tmp_path, runs=2)) == 0
    assert stored(tmp_path) == 18


def test_the_same_model_elsewhere_is_taken_and_what_cannot_be_explained_is_said(
    vllm: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(command(vllm, tmp_path)) == 0
    vllm.continue_texts = continued(0.0005)
    assert run.main(command(vllm, tmp_path, runs=2)) == 0
    assert "may be another model" not in capsys.readouterr().out, "rounding is no other model"
    vllm.continue_texts, vllm.record = continued(0.02), {"root": "/moved/a", "parent": "base"}
    assert run.main(command(vllm, tmp_path, runs=3)) == 0
    said = capsys.readouterr().out
    assert "differ by 0.02 nats; another GPU does that, too, root was '/adapters/a' and is '/moved/a'" in said


def test_a_server_that_is_noisy_by_itself_may_differ_more(vllm: Server, tmp_path: Path) -> None:
    def noisy(shift: float) -> Callable[[list[str]], Reply]:
        return lambda prompts: continued(shift + (0.1 if len(prompts) > 1 else 0.0))(prompts)

    vllm.continue_texts = noisy(0.0)
    assert run.main(command(vllm, tmp_path)) == 0
    vllm.continue_texts = noisy(0.3)
    assert run.main(command(vllm, tmp_path, runs=2)) == 0
    vllm.continue_texts = noisy(0.8)
    with pytest.raises(UserError, match=r"differ by 0.8 nats \(tolerance 0.5\)"):
        run.main(command(vllm, tmp_path, runs=3))


def test_an_exchange_in_the_middle_of_a_call_is_said_and_what_is_mixed_is_refused_after_it(
    vllm: Server, tmp_path: Path
) -> None:
    assert run.main(command(vllm, tmp_path)) == 0

    def exchange(body: dict[str, Any], attempt: int) -> Reply:
        if body["messages"][-1]["content"].startswith("Problem 2"):
            vllm.continue_texts = continued(0.3)
        return chat("4", prompt_tokens=10 * len(body["messages"]))

    vllm.answer = exchange
    with pytest.raises(UserError, match=r"was exchanged during this call.*samples/gsm8k.jsonl lines 10 to 18"):
        run.main(command(vllm, tmp_path, runs=2))
    assert stored(tmp_path) == 18, "what was paid for is kept"
    vllm.continue_texts = continued()
    for again in (lambda: run.main(command(vllm, tmp_path, runs=3)), lambda: reported(tmp_path)):
        with pytest.raises(UserError, match=r"generated while the model behind 'served-a' was exchanged: .* 10 to 18"):
            again()
    # What the message says to do.
    samples, kept = (tmp_path / "results" / name for name in ("samples/gsm8k.jsonl", "served.json"))
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:9]))
    without = json.loads(kept.read_text())
    del without["served-a"]["mixed"]
    kept.write_text(json.dumps(without))
    vllm.answer = lambda body, attempt: chat("4", prompt_tokens=10 * len(body["messages"]))
    assert run.main(command(vllm, tmp_path, runs=2)) == 0
    reported(tmp_path)


def reported(folder: Path) -> None:
    report.main([str(folder / "results"), "--out", str(folder / "report"), "--draws", "20"])


def test_a_server_that_is_gone_at_the_end_is_said_and_ends_nothing(
    vllm: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def leave(body: dict[str, Any], attempt: int) -> Reply:
        vllm.continue_texts = lambda prompts: Reply(503)
        return chat("4", prompt_tokens=10 * len(body["messages"]))

    vllm.answer = lambda body, attempt: (leave if "Problem 2" in str(body) else vllm_answer)(body, attempt)
    assert run.main(command(vllm, tmp_path)) == 0
    assert "could not check that 'served-a' is still the same model at the end" in capsys.readouterr().out


def vllm_answer(body: dict[str, Any], attempt: int) -> Reply:
    return chat("4", prompt_tokens=10 * len(body["messages"]))


def test_without_log_probs_the_servers_record_decides(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer, server.record = vllm_answer, {"created": 1_700_000_000}
    assert run.main(command(server, tmp_path)) == 0
    assert run.main(command(server, tmp_path, runs=2)) == 0
    assert "may be another model" not in capsys.readouterr().out
    server.record = {"created": 1_700_000_001}
    assert run.main(command(server, tmp_path, runs=3)) == 0
    assert "was made at 2023-11-14 22:13:21 UTC, and said 2023-11-14 22:13:20 before" in capsys.readouterr().out
    server.owner = "somebody else"
    with pytest.raises(UserError, match=r"owned_by was 'someone' and is 'somebody else'; give another --out"):
        run.main(command(server, tmp_path, runs=4))


def test_a_vllm_server_without_log_probs_is_told_by_its_record(vllm: Server, tmp_path: Path) -> None:
    vllm.continue_texts = lambda prompts: refusal(400, "no logprobs here")
    assert run.main(command(vllm, tmp_path)) == 0
    assert run.main(command(vllm, tmp_path, runs=2)) == 0
    vllm.record = {"root": "/adapters/b", "parent": "base"}
    with pytest.raises(UserError, match=r"root was '/adapters/a' and is '/adapters/b'"):
        run.main(command(vllm, tmp_path, runs=3))


def test_a_folder_from_before_goes_on_and_binds_from_then_on(
    vllm: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(command(vllm, tmp_path)) == 0
    (tmp_path / "results" / "served.json").unlink()
    assert run.main(command(vllm, tmp_path, runs=2)) == 0
    assert "has no record of the model behind 'served-a'" in capsys.readouterr().out
    vllm.continue_texts = continued(0.3)
    with pytest.raises(UserError, match="another model"):
        run.main(command(vllm, tmp_path, runs=3))


def test_what_was_seen_for_a_run_that_made_nothing_does_not_bind(vllm: Server, tmp_path: Path) -> None:
    vllm.answer = lambda body, attempt: refusal(400) if "Problem" in str(body) else vllm_answer(body, attempt)
    assert run.main(command(vllm, tmp_path)) == 1
    vllm.answer, vllm.continue_texts = vllm_answer, continued(0.3)
    assert run.main(command(vllm, tmp_path)) == 0
    assert run.main(command(vllm, tmp_path, runs=2)) == 0


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_judge_and_the_model_that_is_judged_are_looked_at_too(vllm: Server, tmp_path: Path, exchanged: bool) -> None:
    """Between answers and judgements, and between a judge's first and second call."""
    vllm.answer, vllm.models = perform, ["actor", "b"]
    assert personagym.main(arguments(vllm, tmp_path, judges=())) == 0
    assert personagym.main(arguments(vllm, tmp_path, "--attempts", "1", judges=("b",))) == 0
    seen = json.loads((tmp_path / "results" / "model" / "personagym" / "served.json").read_text())
    assert seen.keys() == {"b"}
    assert json.loads((tmp_path / "results" / "model" / "served.json").read_text()).keys() == {"actor"}
    judgements = tmp_path / "results" / "model" / "personagym" / "judgements.jsonl"
    judgements.write_text("".join(judgements.read_text().splitlines(keepends=True)[:20]))
    vllm.continue_texts = continued(0.3 if exchanged else 0.0)
    again = arguments(vllm, tmp_path, "--attempts", "1", judges=("b",))
    if not exchanged:
        assert personagym.main(again) == 0
        return
    with pytest.raises(UserError, match=r"another model than the one that is served as 'b' .*give another --out"):
        personagym.main(again)


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_rewriter_is_looked_at_too(
    vllm: Server, problem_file: Path, tokenizer_folder: Path, tmp_path: Path, exchanged: bool
) -> None:
    vllm.answer = faithful
    command = rewriting(vllm, problem_file, tokenizer_folder, tmp_path)
    gsm8k_sft.main(command)
    store = tmp_path / "store" / "targets.jsonl"
    store.write_text("".join(store.read_text().splitlines(keepends=True)[:30]))
    vllm.continue_texts = continued(0.3 if exchanged else 0.0)
    if not exchanged:
        gsm8k_sft.main(command)
        return
    with pytest.raises(UserError, match=r"another model than the one .* as 'served-a' .*give another --store"):
        gsm8k_sft.main(command)
    assert len(store.read_text().splitlines()) == 30


def test_distance_stops_where_continuations_part() -> None:
    one: list[Continuation] = [[("a", {"a": -0.1, "b": -3.0}), ("c", {"c": -0.2}), ("d", {"d": -0.3})]]
    assert logprob_distance(one, one) == 0.0
    # The second place is compared, for both have taken "a" before it; what comes after it is not.
    other: list[Continuation] = [[("a", {"a": -0.2, "b": -3.0}), ("e", {"e": -0.4}), ("d", {"d": -9.0})]]
    # 0.1, 0, and of c and e the least that they can differ by: c lies 0.2 above the other's least.
    assert logprob_distance(one, other) == pytest.approx((0.1 + 0.0 + 0.2 + 0.0) / 4)
    assert len(PROBES) == len(set(PROBES))


def test_a_time_of_making_that_is_the_time_of_the_request_says_nothing() -> None:
    asked = [ServedModel("u", {"created": at}, seen=at + 1) for at in (1000.0, 5000.0)]
    assert asked[1].hint(asked[0]) == ""
    made = [ServedModel("u", {"created": at}, seen=9000.0) for at in (1000.0, 5000.0)]
    assert "was made at" in made[1].hint(made[0])
