"""A driver that asks a Ray cluster for more than it has, and whose actor cannot be made; as verl, it waits for ever."""

import os

import ray

from permix_verl.training.hooks import ray_watch


@ray.remote
class Broken:
    def __init__(self) -> None:
        raise ValueError("this actor cannot be made")


if __name__ == "__main__":
    with ray_watch.watch_ray():
        ray.init(address=os.environ["RAY_ADDRESS"])
        broken = Broken.remote()  # type: ignore[attr-defined]
        ray.get(ray.util.placement_group([{"CPU": 1000}], name="too_large").ready())
