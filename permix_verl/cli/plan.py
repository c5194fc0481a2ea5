"""Estimate a run's GPU memory and time before it starts (``permix plan``)."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from permix_verl.config.compose import RunConfig
from permix_verl.config.methods import METHODS
from permix_verl.errors import UserError
from permix_verl.preflight.memory_plan.advice import advice
from permix_verl.preflight.memory_plan.budget import GIB, MIB, MemoryBudget, budget, fits
from permix_verl.preflight.memory_plan.gpus import GpuSpec, find_gpu
from permix_verl.preflight.memory_plan.job import Job, read_job
from permix_verl.preflight.memory_plan.rows import training_rows
from permix_verl.preflight.memory_plan.step_time import StepTime, estimate_step_time, steps_of
from permix_verl.runs.trainers import TRAINERS

DOES_NOT_FIT = 1
"""Exit status of a plan that does not fit."""


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    from permix_verl.recipe.resolve import resolve

    return print_plan(resolve(args.recipe, args.settings, os.environ), args)


def plan_run(config: RunConfig, arguments: Sequence[str]) -> int:
    """Print the plan of a composed configuration; ``arguments`` are options of ``permix plan``."""
    return print_plan(config, parse_args([*arguments]))


def print_plan(config: RunConfig, args: argparse.Namespace) -> int:
    rows, said = (args.rows, "") if args.rows else training_rows(config)
    if said:
        print(f"rows: {said}", file=sys.stderr)
    job = read_job(config, config.trainer, rows)
    name = args.model or config[f"{TRAINERS[config.trainer].model}.path"]
    args.gpu = args.gpu or config.get("permix.gpu")
    gpu, memory = device(job, args)
    plan = make_plan(name, job, gpu, memory, args.answer_tokens, quiet=args.json)
    print(json.dumps(plan["json"], indent=1) if args.json else plan["text"])
    return 0 if plan["fits"] else DOES_NOT_FIT


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="permix plan",
        description=(__doc__ or "").split("\n", 1)[0],
        epilog="permix train --help lists the settings",
    )
    parser.add_argument("recipe", nargs="?", default="permix_grpo", help=f"one of: {', '.join(METHODS)}")
    parser.add_argument("settings", nargs="*", help="KNOB=VALUE, or key=value of the configuration")
    parser.add_argument("--model", help="hub name or folder, in place of the settings'; only its config.json is read")
    parser.add_argument("--gpu", help="GPU name, such as A5000; default: the profile's, or the GPU of this machine")
    parser.add_argument(
        "--gpu-memory", type=float, metavar="GIB", help="memory in GiB: of an unknown GPU, or a part of a known one"
    )
    parser.add_argument("--rows", type=int, help="rows of the training data (default: counted in DATA, or published)")
    parser.add_argument(
        "--answer-tokens", type=int, help="mean tokens of a completion, for the time estimate (default: the limit)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, in bytes and seconds")
    args = parser.parse_intermixed_args(argv)
    if "=" in args.recipe:
        args.recipe, args.settings = "permix_grpo", [args.recipe, *args.settings]
    for flag in ("gpu_memory", "rows", "answer_tokens"):
        value = getattr(args, flag)
        if value is not None and value <= 0:
            raise UserError(f"--{flag.replace('_', '-')} is {value}", "it must be more than 0")
    return args


def device(job: Job, args: argparse.Namespace) -> tuple[GpuSpec | None, int]:
    """Return the GPU, ``None`` if unknown or on a CPU, and its memory in bytes.

    Raises:
        UserError: no GPU is named and this machine has none.
    """
    if job.device == "cpu":
        return None, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    given = int(args.gpu_memory * GIB) if args.gpu_memory else None
    if args.gpu:
        try:
            gpu = find_gpu(args.gpu, given)
        except UserError:
            if given:
                return None, given
            raise
        return gpu, given or gpu.memory
    from permix_verl.preflight.doctor.gpus import visible_gpus

    there = visible_gpus()
    if there:
        memory = given or min(one.total_mb for one in there) * MIB
        try:
            return find_gpu(there[0].name, memory), memory
        except UserError:
            return None, memory
    if given:
        return None, given
    raise UserError("this machine has no GPU, and none is named", "give --gpu, such as A5000, or --gpu-memory GIB")


def make_plan(
    name: str, job: Job, gpu: GpuSpec | None, memory: int, completion_tokens: int | None, quiet: bool = False
) -> dict[str, Any]:
    """Return the plan as text and as JSON data, and whether it fits."""
    from permix_verl.preflight.memory_plan.model_size import measure, read_config
    from permix_verl.preflight.memory_plan.trace import actor_peaks

    config = read_config(name)
    model = measure(config, job)
    peaks = actor_peaks(job, config, lambda text: None if quiet else print(text, file=sys.stderr))
    plan = budget(job, model, peaks, memory)
    suggestions = list(advice(job, model, peaks, plan, memory))
    fit = fits(plan, memory)
    times = None
    if gpu is not None and not model.experts and (plan.cache is None or plan.cache.sequences):
        times = estimate_step_time(job, model, gpu, plan.cache.sequences if plan.cache else None, completion_tokens)
    where = f"{job.ranks} x {gpu.name if gpu else job.device}, {memory / GIB:.1f} GiB each"
    if job.device == "cpu":
        where = f"{job.ranks} ranks on a machine without a GPU, {memory / GIB:.1f} GiB"
    text = "\n".join(
        [
            f"{name}: {model.weights:,} weights, {model.adapter_weights:,} in the adapter",
            where,
            *_memory_lines(plan, memory),
            *_host_lines(plan),
            *_time_lines(job, times),
            *(f"to fit: {line}" for line in suggestions),
            "it fits" if fit else "it does NOT fit",
        ]
    )
    as_json = {
        "job": asdict(job),
        "model": asdict(model),
        "memory": memory,
        "turns": {phase.name: {line.name: line.size for line in phase.lines} for phase in plan.phases},
        "cache": asdict(plan.cache) if plan.cache else None,
        "host": {line.name: line.size for line in plan.host},
        "pace": asdict(times) if times else None,
        "advice": suggestions,
        "fits": fit,
    }
    return {"text": text, "json": as_json, "fits": fit}


def _memory_lines(plan: MemoryBudget, memory: int) -> list[str]:
    lines = []
    for phase in plan.phases:
        lines.append(f"\n{phase.name:<50}{phase.total / GIB:>8.2f} GiB{'' if phase.total <= memory else '   OVER'}")
        lines += [f"  {line.name:<48}{line.size / GIB:>8.2f}" for line in phase.lines]
    if plan.cache is not None:
        cache = plan.cache
        lines.append(
            f"\nvLLM's cache: {max(cache.tokens, 0):,} tokens, {cache.sequences} sequences at full length; an engine "
            f"is given {cache.wanted} a step"
        )
    return lines


def _host_lines(plan: MemoryBudget) -> list[str]:
    lines = [f"  {line.name:<48}{line.size / GIB:>8.2f}" for line in plan.host]
    return ["\non the host of a node, beside the processes", *lines] if lines else []


def _time_lines(job: Job, times: StepTime | None) -> list[str]:
    if times is None:
        return [f"\n{steps_of(job)} steps; how long they take is not known here", ""]
    sampled = f" ({times.tokens:,} of them sampled)" if times.tokens else ""
    parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in times.seconds.items())
    tokens = f"{times.trained_tokens:,} tokens{sampled}"
    return [
        f"\n{times.steps} steps ({job.rows:,} rows, {job.epochs} epochs), each of at most {tokens},",
        f"about {times.step_seconds:.0f} s a step ({parts}), {times.run_seconds / 3600:.1f} h the run: a guess, within "
        "a factor of two at best\n",
    ]
