"""Whether one modality finds another again: retrieval among a pool of moments."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.floating]


def retrieval_at_1(queries: Points, keys: Points, pool: int, seed: int) -> float:
    """How often a query's own key is its nearest in a pool (recall at 1, Manning et al. 2008, section 8.4).

    queries, keys: [n, width], row by row of the same moment, nearness their inner product. ``seed`` deals the moments
    into whole pools of ``pool``; those left over are not asked. A key that another equals is half found, or less.
    Guessing gives 1 / ``pool``. Raises ValueError when there is no whole pool.
    """
    whole = len(queries) // pool * pool
    if len(queries) != len(keys) or not whole:
        raise ValueError(f"{len(queries)} queries and {len(keys)} keys make no pool of {pool}")
    dealt = np.random.default_rng(seed).permutation(len(queries))[:whole].reshape(-1, pool)
    near = np.einsum("pqd,pkd->pqk", queries[dealt], keys[dealt])
    own = near.diagonal(axis1=1, axis2=2)[:, :, None]
    rivals = (near == own).sum(axis=2) - 1
    return float(np.where((near > own).any(axis=2), 0.0, 1 / (1 + rivals)).mean())
