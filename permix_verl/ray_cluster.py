"""The Ray cluster that ``RAY_ADDRESS`` names, or a Ray of this process's own."""

import os

from permix_verl.errors import UserError, first_line


def connect() -> None:
    """Connect this process; Ray's workers stay silent.

    Raises:
        UserError: the cluster cannot be reached, or Ray cannot be started here.
    """
    import ray

    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        else:
            ray.init(address="local", log_to_driver=False, include_dashboard=False)
    except Exception as error:
        if not address:
            raise UserError(
                f"cannot start Ray on this machine ({first_line(error)}); see that /tmp has room"
            ) from error
        raise UserError(
            f"cannot reach the Ray cluster RAY_ADDRESS={address} ({first_line(error)}); start it with ray start "
            "--head, with the same RAY_AUTH_TOKEN, or unset RAY_ADDRESS"
        ) from error
