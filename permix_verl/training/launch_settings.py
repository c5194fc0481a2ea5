"""Settings of a launch: the composed configuration, and what is printed beside it."""

from dataclasses import dataclass
from pathlib import Path

from permix_verl.config.compose import RunConfig
from permix_verl.config.resolvers import LAB_MODEL
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.trainers import TRAINERS

_MIN_AGREEMENT = "trainer.v1.sampler.sampler_kwargs.min_agreement"


@dataclass(frozen=True)
class LaunchSettings:
    """A launch's configuration, and views of it.

    Attributes:
        config: the composed configuration.
        next_command: printed at the end of the run.
    """

    config: RunConfig
    next_command: str = ""

    @property
    def folder(self) -> RunFolder:
        return RunFolder(Path(self.config["permix.run_dir"]).resolve(), TRAINERS[self.config.trainer])

    @property
    def base(self) -> str:
        """Hub name or folder of the base model."""
        return str(self.config[f"{TRAINERS[self.config.trainer].model}.path"])

    @property
    def title(self) -> str:
        """Heading of the figure."""
        name = "the lab's base model" if self.base == str(LAB_MODEL) else Path(self.base).name
        return f"{self.config['permix.title']} on {name}, profile {self.config['permix.profile']}"

    @property
    def min_agreement(self) -> float:
        """Lowest accepted rollout-actor correlation of a step."""
        return float(self.config.get(_MIN_AGREEMENT, 0.0))

    @property
    def check_dtype(self) -> str:
        """Data type of the adapter's check."""
        return str(self.config["permix.check.dtype"])

    @property
    def check_device(self) -> str:
        return str(self.config["permix.check.device"])

    @property
    def check_tolerance(self) -> float:
        """Largest accepted difference between adapter and trained policy, in nats per token."""
        return float(self.config["permix.check.tolerance"])

    @property
    def check_statistic(self) -> str:
        """Statistic of the differences over the tokens: "largest" or "mean"."""
        return str(self.config["permix.check.statistic"])
