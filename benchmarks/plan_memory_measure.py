"""Peak memory of verl's engine in one setting, for plan_memory.py: JSON in the argument, JSON on stdout.

python benchmarks/plan_memory_measure.py '{"config": {...}, "job": {...}, "device": "cpu"}'
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plan_memory_engine import build_engine

from permix_verl.preflight.memory_plan.job import Job


def main() -> None:
    setting = json.loads(sys.argv[1])
    print(json.dumps(measure(setting["config"], Job(**setting["job"]), setting["device"] == "cpu")))


def measure(config: Any, its: Job, on_cpu: bool) -> dict[str, Any]:
    """Measure the peak bytes of an update and of a log-prob pass: live, and reserved by CUDA's allocator."""
    import torch

    _begin(its.ranks, on_cpu)
    if not on_cpu:
        torch.cuda.memory._set_allocator_settings("expandable_segments:True")  # as verl does around each phase
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        engine = build_engine(folder, its)
    peak = _events(engine) if on_cpu else _allocator()
    device = "cpu" if on_cpu else "cuda"
    result: dict[str, Any] = {}
    phases = {
        "log_probs": lambda: engine.infer_batch(_rows(its, its.log_prob_micro_batch, True, device)),
        "update": lambda: engine.train_batch(_rows(its, its.micro_batch, False, device), _loss()),
    }
    notes = [torch.__version__]
    _fill_optimizer(engine)
    for name, mode in (("log_probs", engine.eval_mode), ("update", engine.train_mode)):
        with mode():
            result[name] = peak(phases[name])
            if not on_cpu:
                fraction = _least_reserve(phases[name], result[name][0])
                notes.append(f"{name}: {_seconds(phases[name]):.2f} s, runs in {fraction} of its peak")
    if not on_cpu:
        engine.to("cpu")
        torch.cuda.empty_cache()
        notes.append(f"{torch.cuda.memory_allocated() >> 20} MiB when everything is offloaded")
        free, total = torch.cuda.mem_get_info()
        outside = (total - free - torch.cuda.memory_reserved()) >> 20
        notes += [torch.cuda.get_device_name(), f"{outside} MiB outside PyTorch"]
    result["note"] = ", ".join(notes)
    return result


def _begin(ranks: int, on_cpu: bool) -> None:
    import torch.distributed as dist
    from torch.testing._internal.distributed.fake_pg import FakeStore

    if ranks > 1:
        dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=ranks)
    else:
        store = dist.HashStore()
        dist.init_process_group("gloo" if on_cpu else "nccl", store=store, rank=0, world_size=1)


def _rows(its: Job, micro: int, forward_only: bool, device: str) -> Any:
    """Build full-length rows in verl's worker format: two micro-batches for an update, one for a forward pass."""
    import torch
    from tensordict import TensorDict
    from verl.utils import tensordict_utils as tu
    from verl.utils.dataset.dataset_utils import DatasetPadMode

    count = micro if forward_only else 2 * micro

    def jagged(values: Any) -> Any:
        return torch.nested.as_nested_tensor(list(values), layout=torch.jagged)

    length = its.length
    rows = {
        "input_ids": jagged(torch.randint(0, 1000, (count, length))),
        "position_ids": jagged(torch.arange(length).expand(count, length)),
        "loss_mask": jagged(torch.ones(count, length)),
    }
    data = TensorDict(rows, batch_size=[count])
    tu.assign_non_tensor(
        data,
        temperature=1.0,
        use_remove_padding=False,
        use_dynamic_bsz=False,
        micro_batch_size_per_gpu=micro,
        pad_mode=DatasetPadMode.NO_PADDING,
        calculate_entropy=forward_only,
        use_fused_kernels=False,
        pad_token_id=0,
        global_batch_size=count * its.ranks,
    )
    return data


def _loss() -> Callable[..., Any]:
    import functools

    from verl.workers.utils.losses import sft_loss

    return functools.partial(sft_loss, config=None)


def _fill_optimizer(engine: Any) -> None:
    """Create the optimizer state by one step, as every later step finds it."""
    import torch

    for group in engine.optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
    engine.optimizer.step()
    engine.optimizer.zero_grad()


def _allocator() -> Callable[[Callable[[], Any]], tuple[int, int]]:
    import torch

    def peak(run: Callable[[], Any]) -> tuple[int, int]:
        run()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()

    return peak


def _least_reserve(run: Callable[[], Any], peak: int) -> str:
    """Find the smallest memory limit, as a fraction of the peak, under which the phase still runs."""
    import torch

    total = torch.cuda.mem_get_info()[1]
    for share in (1.01, 1.03, 1.06, 1.1, 1.15, 1.25, 1.5):
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(min(1.0, share * peak / total))
        try:
            run()
        except torch.OutOfMemoryError:
            continue
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return f"{share:.0%}"
    return "more than 150%"


def _seconds(run: Callable[[], Any]) -> float:
    import time

    import torch

    run()
    torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def _events(engine: Any) -> Callable[[Callable[[], Any]], tuple[int, int]]:
    """Measure the peak on a CPU: bytes held before, plus the allocator's events during the run."""
    from torch.profiler import ProfilerActivity, profile

    def peak(run: Callable[[], Any]) -> tuple[int, int]:
        run()
        state = [v for s in engine.optimizer.state.values() for v in s.values() if hasattr(v, "untyped_storage")]
        held = [getattr(t, "_local_tensor", t) for t in [*engine.module.parameters(), *engine.module.buffers(), *state]]
        storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in held}
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            run()
        results = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
        events = sorted((e.start_ns(), e.nbytes()) for e in results if e.name() == "[memory]")
        now = highest = 0
        for _, size in events:
            now += size
            highest = max(highest, now)
        return sum(storages.values()) + highest, 0

    return peak


if __name__ == "__main__":
    main()
