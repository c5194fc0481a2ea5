"""What ``eval/personagym.py`` costs a call, beside the bare ``openai`` client, against a server that answers at once.

    python benchmarks/judge_client.py                    # 200 personas x 50 questions x 2 judges, a few minutes
    python benchmarks/judge_client.py --personas 20

The server, in a process of its own, answers after a set time, so that calls stay under way, and says how many were at
most. Ours is a whole judging pass: prompts, keys, requests, strict reading, a row a reply. The bare side sends the same
prompts with ``openai.AsyncOpenAI`` behind a semaphore and throws the replies away. The figure is CPU time of the
client's process a call; sides alternate after a short round that counts for nothing.
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

from permix_verl.evaluation.options import Options
from permix_verl.fidelity.personagym.judge_prompts import judge_questions
from permix_verl.fidelity.personagym.questions import as_text
from permix_verl.fidelity.personagym.session import Session, Settings, prepare
from permix_verl.fidelity.personagym.tasks import TASKS
from permix_verl.inference.judges.ask import Asking
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
    """A server that reads a request and answers after a while; ends when the other end of the pipe closes."""
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
    """Most requests at the server since the last call."""
    pipe.send(None)
    return int(pipe.recv())


def make_session(folder: Path, personas: int, questions: int, url: str) -> Session:
    """So many personas with so many questions each, over the five tasks."""
    keys = [f"persona {number}" for number in range(personas)]
    pool = folder / "pool.jsonl"
    pool.write_text("".join(json.dumps({"key": key, "system_prompt": f"You are {key}."}) + "\n" for key in keys))
    each = questions // len(TASKS)
    asked = {key: {task: tuple(f"{task}: what now, {n}?" for n in range(each)) for task in TASKS} for key in keys}
    (folder / "questions.json").write_text(as_text(asked, "benchmark"))
    options = Options("model", folder, personas=str(pool), base_url=url, runs=1)
    return prepare(Settings(options, questions=str(folder / "questions.json")))


def ours(session: Session, judge: Judge, folder: Path) -> tuple[float, float, int]:
    """CPU and wall seconds of judging everything, and how many calls that were."""
    answers = {
        asked.place: Answer(f"key {asked.place}", *asked.place, asked.text, ANSWER, "stop", 50, 150, 0)
        for asked in session.asked
    }
    cpu, wall = time.process_time(), time.monotonic()
    store = JudgementStore(folder)
    with store.writing():
        tally = Asking(judge, store, 2).ask(judge_questions(session, judge, "fixed", answers, {}), judge.label)
    spent = time.process_time() - cpu, time.monotonic() - wall
    assert all(row is not None and row.verdict == 4 for row in tally.verdicts)
    return *spent, tally.asked


def bare(prompts: list[list[dict[str, str]]], url: str) -> tuple[float, float]:
    """The same requests by the client alone."""
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
    parser.add_argument("--delay", type=float, default=0.5, help="seconds until the server answers")
    args = parser.parse_args()
    calls = args.personas * args.questions
    figures: dict[str, list[float]] = {"ours": [], "bare client": []}
    peaks: dict[str, list[int]] = {"ours": [], "bare client": []}
    with tempfile.TemporaryDirectory() as name, server(args.delay) as (url, pipe):
        folder = Path(name)
        for number in range(-1, args.judges):  # the first one is a short round that counts for nothing
            place = folder / str(number)
            place.mkdir()
            session = make_session(place, 4 if number < 0 else args.personas, args.questions, url)
            judge = Judge(f"judge {number}", url, concurrency=IN_FLIGHT)
            peak_of(pipe)
            cpu, wall, asked = ours(session, judge, place / "store")
            reached = peak_of(pipe)
            questions = judge_questions(
                session,
                judge,
                "fixed",
                {a.place: Answer("", *a.place, a.text, ANSWER, "stop", 0, 0, 0) for a in session.asked},
                {},
            )
            bare_cpu, bare_wall = bare([list(one.messages) for one in questions], url)
            bare_reached = peak_of(pipe)
            if number < 0:
                continue
            figures["ours"].append(1000 * cpu / asked)
            figures["bare client"].append(1000 * bare_cpu / asked)
            peaks["ours"].append(reached)
            peaks["bare client"].append(bare_reached)
            print(f"judge {number}: {asked} calls, ours {wall:.1f} s, bare client {bare_wall:.1f} s", flush=True)
    print(f"{args.judges} x {calls} calls, the server answers after {args.delay:g} s")
    for side, values in figures.items():
        print(f"{side}: {statistics.median(values):.2f} ms of CPU a call, at most {max(peaks[side])} under way")
    ratio = statistics.median(figures["ours"]) / statistics.median(figures["bare client"])
    print(f"ratio: {ratio:.2f}")


if __name__ == "__main__":
    main()
