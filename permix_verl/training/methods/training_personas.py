"""The personas that a run trains with, as its dataset has them."""

from permix_verl.errors import UserError
from permix_verl.personas.mixing import PersonaDraw
from permix_verl.personas.pool import PersonaPool
from permix_verl.training.hooks.buffer_hooks import RunContext


def training_draw(run: RunContext) -> PersonaDraw:
    """Return the persona draw of the training data.

    Raises:
        UserError: the data have none: they were not written by ``permix prep`` or ``permix mix``, and are not mixed as
            they load.
    """
    draw = getattr(run.trainer.train_dataset, "draw", None)
    if draw is None:
        raise UserError(
            "the training data have no persona draw, and this extension draws personas",
            "mix personas into them (permix mix), or leave the extension out",
        )
    return draw  # type: ignore[no-any-return]


def training_pool(run: RunContext) -> PersonaPool:
    """Return the personas that rows are drawn from.

    Raises:
        UserError: as :func:`training_draw`.
    """
    return training_draw(run).train_pool
