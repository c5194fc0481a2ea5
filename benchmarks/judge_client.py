"""Client CPU time of a judge call in ``eval/personagym.py`` and in the bare ``openai`` client, against a fake server.

    python benchmarks/judge_client.py                    # 200 personas x 50 questions x 2 judges, a few minutes
    python benchmarks/judge_client.py --personas 20

The server runs in its own process, replies after a fixed delay and reports the maximum number of concurrent requests.
Ours is a whole judging pass: prompts, keys, requests, strict parsing, one stored row a reply. The bare side sends the
same prompts with ``openai.AsyncOpenAI`` behind a semaphore and discards the replies. The figure is CPU time of the
client's process for each call. Sides alternate after an uncounted warm-up.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from permix_verl.evaluation.options import EvalOptions
from permix_verl.fidelity.personagym.judge_prompts import judge_questions
from permix_verl.fidelity.personagym.questions import as_text
from permix_verl.fidelity.personagym.session import PersonagymSettings, Session, prepare
from permix_verl.fidelity.personagym.tasks import TASKS
from permix_verl.inference.engine_config import EngineConfig
from permix_verl.inference.judges.ask import JudgeClient
from permix_verl.inference.judges.config import Judge
from permix_verl.inference.judges.store import Answer, JudgementStore

IN_FLIGHT = 64
ANSWER = "Well, I would look at it twice before I say anything, and then I would ask my neighbour about it. " * 6
REPLY = json.dumps(
    {
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": '{"reason": "in character throughout", "score": 4}'},
            }
        ],
        "usage": {"prompt_tokens": 0, "completion_tokens": 14},
    }
)


def serve(port: Connection, delay_s: float) -> None:
    """Serve fixed replies after a delay, until killed; report the port, and the peak of requests when asked."""
    running = peak = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running, peak
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                length = int(lengths[0].split(b":")[1]) if lengths else 0
                await reader.readexactly(length)
                running += 1
                peak = max(peak, running)
                await asyncio.sleep(delay_s)
                running -= 1
                reply = REPLY.replace('"prompt_tokens": 0', f'"prompt_tokens": {length // 4}')
                body = (reply if length else '{"object": "list", "data": []}').encode()
                size = str(len(body)).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + size + b"\r\n\r\n" + body
                )
                await writer.drain()

    async def main() -> None:
        nonlocal peak
        server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=256)
        port.send(server.sockets[0].getsockname()[1])
        async with server:
            while True:
                with contextlib.suppress(EOFError):
                    if port.poll():
                        port.recv()
                        port.send(peak)
                        peak = running
                await asyncio.sleep(0.02)

    asyncio.run(main())


@contextlib.contextmanager
def server(delay_s: float) -> Iterator[tuple[str, Connection]]:
    """Start the server; yield its URL and the pipe to it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, delay_s), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1", ours
    finally:
        process.kill()
        process.join()


def peak_of(pipe: Connection) -> int:
    """Return the maximum number of concurrent requests since the last call."""
    pipe.send(None)
    return int(pipe.recv())


def make_session(folder: Path, personas: int, questions: int, url: str) -> Session:
    """Create a session with ``questions`` questions for each persona, spread over the five tasks."""
    keys = [f"persona {number}" for number in range(personas)]
    pool = folder / "pool.jsonl"
    pool.write_text("".join(json.dumps({"key": key, "system_prompt": f"You are {key}."}) + "\n" for key in keys))
    each = questions // len(TASKS)
    texts = {key: {task: tuple(f"{task}: what now, {n}?" for n in range(each)) for task in TASKS} for key in keys}
    (folder / "questions.json").write_text(as_text(texts, "benchmark"))
    options = EvalOptions(EngineConfig("model", base_url=url), folder, personas=str(pool), runs=1)
    return prepare(PersonagymSettings(options, questions=str(folder / "questions.json")))


def ours(session: Session, judge: Judge, folder: Path) -> tuple[float, float, int]:
    """Judge everything; return CPU seconds, wall seconds and the number of calls."""
    answers = {
        item.item_id: Answer(f"key {item.item_id}", *item.item_id, item.text, ANSWER, "stop", 50, 150, 0)
        for item in session.persona_questions
    }
    cpu, wall = time.process_time(), time.monotonic()
    store = JudgementStore(folder)
    with store.writing():
        tally = JudgeClient(judge, store, 2).ask(judge_questions(session, judge, "fixed", answers, {}), judge.label)
    spent = time.process_time() - cpu, time.monotonic() - wall
    assert all(row is not None and row.verdict == 4 for row in tally.judgements)
    return *spent, tally.replies


def bare(prompts: list[list[dict[str, str]]], url: str) -> tuple[float, float]:
    """Send the same requests by the bare client; return CPU and wall seconds."""
    import openai

    async def main() -> None:
        slots = asyncio.Semaphore(IN_FLIGHT)
        async with openai.AsyncOpenAI(base_url=url, api_key="EMPTY", max_retries=0) as client:

            async def one(messages: list[dict[str, str]]) -> None:
                async with slots:
                    await client.chat.completions.create(
                        model="judge",
                        messages=messages,  # type: ignore[arg-type]
                        temperature=0,
                        max_tokens=1024,
                    )

            await asyncio.gather(*(one(messages) for messages in prompts))

    cpu, wall = time.process_time(), time.monotonic()
    asyncio.run(main())
    return time.process_time() - cpu, time.monotonic() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--personas", type=int, default=200)
    parser.add_argument("--questions", type=int, default=50, help="of each persona, over five tasks")
    parser.add_argument("--judges", type=int, default=2)
    parser.add_argument("--delay", type=float, default=0.5, help="seconds until the server replies")
    args = parser.parse_args()
    calls = args.personas * args.questions
    figures: dict[str, list[float]] = {"ours": [], "bare client": []}
    peaks: dict[str, list[int]] = {"ours": [], "bare client": []}
    with tempfile.TemporaryDirectory() as name, server(args.delay) as (url, pipe):
        folder = Path(name)
        for number in range(-1, args.judges):  # the first round is a short warm-up
            round_folder = folder / str(number)
            round_folder.mkdir()
            session = make_session(round_folder, 4 if number < 0 else args.personas, args.questions, url)
            judge = Judge(f"judge {number}", url, concurrency=IN_FLIGHT)
            peak_of(pipe)
            cpu, wall, judged = ours(session, judge, round_folder / "store")
            reached = peak_of(pipe)
            questions = judge_questions(
                session,
                judge,
                "fixed",
                {
                    item.item_id: Answer("", *item.item_id, item.text, ANSWER, "stop", 0, 0, 0)
                    for item in session.persona_questions
                },
                {},
            )
            bare_cpu, bare_wall = bare([list(one.messages) for one in questions], url)
            bare_reached = peak_of(pipe)
            if number < 0:
                continue
            figures["ours"].append(1000 * cpu / judged)
            figures["bare client"].append(1000 * bare_cpu / judged)
            peaks["ours"].append(reached)
            peaks["bare client"].append(bare_reached)
            print(f"judge {number}: {judged} calls, ours {wall:.1f} s, bare client {bare_wall:.1f} s", flush=True)
    print(f"{args.judges} x {calls} calls, the server replies after {args.delay:g} s")
    for side, values in figures.items():
        print(f"{side}: {statistics.median(values):.2f} ms of CPU a call, at most {max(peaks[side])} concurrent")
    ratio = statistics.median(figures["ours"]) / statistics.median(figures["bare client"])
    print(f"ratio: {ratio:.2f}")


if __name__ == "__main__":
    main()
