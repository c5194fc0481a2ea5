"""Styled targets from a rewriter behind HTTP: one that misbehaves, is killed, or takes no temperature."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from permix_verl import UserError
from permix_verl.cli import prep_sft as gsm8k_sft
from permix_verl.sft_targets.rewriting import read_part

from ...support.endpoint import (
    SYSTEM,
    USER,
    MakeEngine,
    Reply,
    Server,
    chat,
    completions,
    only,
    refusal,
    requests,
    template,
)

Answer = Callable[[dict[str, Any], int], Reply]


def faithful(body: dict[str, Any], attempt: int) -> Reply:
    """Reply as a correct rewriter; the engine's probe gets its tokens counted."""
    if "<solution>" not in body["messages"][-1]["content"]:
        return template(keeps_system=True)(body, attempt)
    return chat(f"Oh! {read_part(body['messages'], 'solution')}", prompt_tokens=100)


def arguments(server: Server, problem_file: Path, tokenizer_folder: Path, folder: Path, *more: str) -> list[str]:
    given = ["--data", str(problem_file), "--tokenizer", str(tokenizer_folder), "--out", str(folder / "out")]
    endpoint = ["--target", "styled", "--engine-model", "served-a", "--base-url", server.url, "--store"]
    return [*given, "--val-problems", "5", *endpoint, str(folder / "store"), *more]


def targets(folder: Path) -> dict[str, str]:
    found = {}
    for split in ("train", "val"):
        for row in pq.read_table(folder / "out" / f"{split}.parquet").to_pylist():
            found[row["extra_info"]["row_id"]] = row["messages"][-1]["content"]
    return found


def asked(server: Server) -> list[dict[str, Any]]:
    return [body for body in server.bodies if "<solution>" in body["messages"][-1]["content"]]


def test_a_rewriter_that_misbehaves_costs_attempts_and_no_row(
    server: Server, problem_file: Path, tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: Counter[str] = Counter()

    def answer(body: dict[str, Any], attempt: int) -> Reply:
        good = faithful(body, attempt)
        if "<solution>" not in body["messages"][-1]["content"]:
            return good
        problem = read_part(body["messages"], "problem")
        rows[problem] += 1
        first = {
            0: refusal(429, "slow down", retry_after="0.01"),
            1: Reply(500, {"error": {"message": "oops"}}),
            2: chat("Rubbish: lorem ipsum dolor sit amet."),
            3: chat("Oh! The answer is \\boxed{31337}."),
            4: chat("", prompt_tokens=100),
            5: Reply(drop=True),
            6: Reply(body="<html>busy</html>"),
        }
        return first.get(len(problem) % 9, good) if rows[problem] == 1 else good

    server.answer = answer
    gsm8k_sft.main(arguments(server, problem_file, tokenizer_folder, tmp_path))
    found = targets(tmp_path)
    assert len(found) == 60
    assert all(text.startswith("Oh! ") for text in found.values())
    printed = capsys.readouterr().out
    again = sum(len(problem) % 9 in (2, 3, 4) for problem in rows)
    assert f"{again} rows with more than one attempt" in printed
    assert again > 5
    stored = [json.loads(line) for line in (tmp_path / "store" / "targets.jsonl").read_text().splitlines()]
    assert len(stored) == 60 + again, "what was paid for is kept, usable or not"
    assert not (tmp_path / "store" / "failures.jsonl").exists()


def test_requests_that_time_out_are_counted_and_asked_again_by_the_same_command(
    server: Server, problem_file: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    def answer(body: dict[str, Any], attempt: int) -> Reply:
        good = faithful(body, attempt)
        if body["seed"] % 7 or "<solution>" not in body["messages"][-1]["content"]:
            return good
        return refusal(503, "overloaded")

    server.answer = answer
    command = arguments(server, problem_file, tokenizer_folder, tmp_path, "--retries", "0")
    with pytest.raises(
        UserError, match=r"(\d+) of 60 requests gave no text \(such as: HTTP 503: overloaded\)"
    ) as raised:
        gsm8k_sft.main(command)
    failed = int(re.search(r"(\d+) of 60", str(raised.value))[1])  # type: ignore[index]
    assert failed == len((tmp_path / "store" / "failures.jsonl").read_text().splitlines())
    before = len(asked(server))
    server.answer = faithful
    gsm8k_sft.main(command)
    assert len(asked(server)) - before == failed
    assert len(targets(tmp_path)) == 60


REASONING = {
    "max_tokens": "Use 'max_completion_tokens' instead.",
    "temperature": "Only the default (1) value is supported.",
}


ADAPTED = ("max_tokens", "temperature", "top_p", "seed")


def reasoning_model(body: dict[str, Any], attempt: int) -> Reply:
    """Reply as OpenAI's reasoning models do to parameters that they do not take, one at a time."""
    for name, text in REASONING.items():
        if name in body:
            return Reply(400, {"error": {"message": text, "param": name, "code": "unsupported_parameter"}})
    if body.get("max_completion_tokens", 64) < 16:
        return Reply(400, {"error": {"message": "Could not finish the message because max_tokens was reached."}})
    return chat(prompt_tokens=sum(len(message["content"]) for message in body["messages"]))


def test_parameters_that_a_reasoning_model_refuses_are_left_out_and_said(
    server: Server, engine_for: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = reasoning_model
    engine = engine_for(droppable_fields=ADAPTED, request_args={"reasoning_effort": "minimal"}, retries=5)
    engine.check([SYSTEM, USER], [USER])  # asks for more than one token, of which such a model could not say anything
    found = completions(engine, requests(20))
    assert all(completion.error is None for completion in found.values())
    last = server.bodies[-1]
    assert "temperature" not in last
    assert "max_tokens" not in last
    assert last["max_completion_tokens"] == 32
    assert last["top_p"] == 0.9
    assert last["reasoning_effort"] == "minimal"
    said = capsys.readouterr().err
    assert said.count("does not take temperature: Only the default (1) value is supported.; asking without it") == 1
    assert said.count("does not take max_tokens") == 1


def test_a_teachers_temperature_is_not_left_out(server: Server, engine_for: MakeEngine) -> None:
    server.answer = reasoning_model
    completion = only(engine_for(droppable_fields=("max_tokens",), retries=5))
    assert "Only the default (1) value is supported." in str(completion.error)


def test_a_reply_whose_tokens_all_went_into_hidden_reasoning_is_cut_and_not_paid_for_again(
    server: Server, engine_for: MakeEngine
) -> None:
    server.answer = lambda body, attempt: chat(None, "length")
    completion = only(engine_for())
    assert (completion.output, completion.finish_reason, completion.error) == ("", "length", None)
    assert completion.completion_tokens == 3
    assert len(server.bodies) == 1


def test_an_evaluation_does_not_change_its_sampling_on_its_own(server: Server, engine_for: MakeEngine) -> None:
    """Negative control: without adapt such a reply is a failure."""
    server.answer = reasoning_model
    assert "Use 'max_completion_tokens' instead." in str(only(engine_for()).error)
