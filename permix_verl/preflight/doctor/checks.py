"""All checks of ``permix doctor``, in the order in which they run."""

from collections.abc import Sequence

from permix_verl.preflight.doctor import (
    adapter,
    cluster,
    config,
    data,
    gpus,
    machine,
    model,
    packages,
    problems,
    requirements,
    template,
    trackers,
)
from permix_verl.preflight.doctor.types import Check, Finding, Setup, warning

CHECKS: Sequence[Check] = (
    Check("python", packages.python_version),
    Check("packages", packages.packages),
    Check("requirements", requirements.requirements),
    Check("interfaces", requirements.interfaces),
    Check("torch-build", packages.torch_build),
    Check("bitsandbytes", packages.bitsandbytes),
    Check("gpus", gpus.gpu_count),
    Check("gpu-memory", gpus.gpu_memory),
    Check("disk", machine.disk),
    Check("shared-memory", machine.shared_memory),
    Check("open-files", machine.open_files),
    Check("ray", cluster.ray_cluster),
    Check("logical-cpus", cluster.logical_cpus),
    Check("model-files", model.model_files),
    Check("tokenizer", model.tokenizer),
    Check("template", template.template),
    Check("date", template.pinned_date),
    Check("thinking", template.thinking),
    Check("context", model.context_length),
    Check("adapter", adapter.initial_adapter),
    Check("personas", data.persona_pools),
    Check("problems", problems.problem_sources),
    Check("data", data.prepared_rows),
    Check("keys", config.dead_keys),
    Check("unread-keys", config.unread_keys),
    Check("config", config.config_composes),
    Check("batches", config.batches),
    Check("resume", config.resumable),
    Check("trackers", trackers.trackers),
)


def examine(setup: Setup, checks: Sequence[Check] = CHECKS) -> list[tuple[str, Finding]]:
    """Run the checks, and return their findings with the checks' names. A check that raises gives a warning only."""
    findings = []
    for check in checks:
        try:
            findings += [(check.name, finding) for finding in check.run(setup)]
        except Exception as problem:
            text = f"the check itself failed ({type(problem).__name__}: {str(problem)[:200]})"
            findings.append((check.name, warning(text, "check this by hand, and report the bug")))
    return findings
