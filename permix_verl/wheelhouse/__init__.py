"""Packages for machines without a network: pack wheels where there is one, unpack and install them where there is none.

``recipes/wheelhouse.sh`` is the command. Standard library and pip alone: nothing of ours is installed yet where this
runs, so ``filelock`` and the helpers of :mod:`permix_verl.utils` are out of reach.
"""
