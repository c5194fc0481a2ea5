"""verl's single-turn agent loop with one seed per rollout.

    actor_rollout_ref.rollout.agent.agent_loop_config_path=.../permix_verl/training/hooks/agent_loop.yaml
    actor_rollout_ref.rollout.agent.default_agent_loop=seeded_single_turn

verl's own switch, ``rollout.full_determinism``, gives all samples of a group one
seed: they are identical, and GRPO has no advantage to learn from.
"""

from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

from permix_verl.seeding import salted
from permix_verl.training.hooks.seeds import rollout_seed


class SeededSingleTurnAgentLoop(SingleTurnAgentLoop):
    """Agent loop that requests each sample with its ``rollout_seed``; the run's seed is ``data.seed``."""

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        info = kwargs.get("extra_info") or {}
        seed = rollout_seed(
            int(self.data_config.seed or 0),
            step=int(kwargs["global_steps"]),
            split=str(info.get("split", "train")),
            epoch=int(info.get("epoch") or 0),
            row_id=salted(str(info.get("row_id", kwargs.get("index"))), int(info.get("redrawn") or 0)),
            persona=str(info.get("persona", "")),
            sample=int(kwargs["session_id"]) + int(info.get("first_sample") or 0),
        )
        # A copy: all samples of a group share one dict.
        output = await super().run({**sampling_params, "seed": seed}, **kwargs)
        output.extra_fields["seed"] = seed
        return output
