"""What a learner of several tasks in turn still knows: figures over the matrix of accuracies after each task.

``R[i][j]`` is the accuracy on task j's test set after task i was learned, tasks in the order in which they came, T of
them. Where the field has several definitions of one name the docstring says which one this is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Retention:
    """Figures over ``matrix``, [T, T] of accuracies or of any score where more is better.

    NaN above the diagonal stands for "not measured"; only ``forward_transfer`` needs what stands there.
    Raises ValueError unless it is square, not empty, and finite on and below the diagonal.
    """

    def __init__(self, matrix: npt.ArrayLike) -> None:
        found = np.array(matrix, dtype=np.float64)
        if found.ndim != 2 or found.shape[0] != found.shape[1] or not len(found):
            raise ValueError(f"the matrix is {list(found.shape)}, expected [T, T] with T from 1 on")
        if not np.isfinite(found[np.tril_indices(len(found))]).all():
            raise ValueError("the matrix lacks a number on or below its diagonal")
        found.setflags(write=False)
        self.matrix: Floats = found

    @property
    def acc(self) -> float:
        """``ACC = mean_j R[T][j]``, the mean over tasks at the end (Lopez-Paz & Ranzato 2017, equation 2)."""
        return float(self.matrix[-1].mean())

    @property
    def backward_transfer(self) -> float:
        """``BWT = mean_{j<T} (R[T][j] - R[j][j])`` (Lopez-Paz & Ranzato 2017, equation 3); negative where tasks were
        forgotten, 0 of one task alone."""
        return _mean((self.matrix[-1] - np.diag(self.matrix))[:-1])

    @property
    def forgetting(self) -> float:
        """``F = mean_{j<T} (max_{l<T} R[l][j] - R[T][j])`` (Chaudhry et al. 2018, equation 3), 0 of one task alone.

        From the best there ever was, not from the accuracy just after the task; so it is never less than -BWT.
        Negative where the last task made the others better than ever.
        """
        if len(self.matrix) == 1:
            return 0.0
        return _mean(np.nanmax(self.matrix[:-1, :-1], axis=0) - self.matrix[-1, :-1])

    @property
    def anytime(self) -> float:
        """Average anytime accuracy, ``mean_i mean_{j<=i} R[i][j]``, at the ends of tasks (Caccia et al. 2022).

        That is the average incremental accuracy of Rebuffi et al. (2017) with all tasks alike in size.
        """
        return _mean([self.matrix[i, : i + 1].mean() for i in range(len(self.matrix))])

    def forward_transfer(self, baseline: Sequence[float] | Floats) -> float:
        """``FWT = mean_{j>1} (R[j-1][j] - b[j])`` (Lopez-Paz & Ranzato 2017, equation 4), 0 of one task alone.

        ``baseline`` [T]: the accuracy on each task before anything was learned. Raises ValueError where it or the
        matrix just above the diagonal is not whole.
        """
        start, before = np.asarray(baseline, dtype=np.float64), np.diag(self.matrix, k=1)
        if start.shape != (len(self.matrix),):
            raise ValueError(f"the baseline is {list(start.shape)}, expected one number a task: [{len(self.matrix)}]")
        if not np.isfinite([*before, *start]).all():
            raise ValueError(
                "forward transfer needs each task's accuracy before it is learned, just above the diagonal"
            )
        return _mean(before - start[1:])

    def summary(self) -> dict[str, float]:
        """The figures that need no baseline, by name."""
        names = ("acc", "backward_transfer", "forgetting", "anytime")
        return {name: float(getattr(self, name)) for name in names}


def _mean(values: Sequence[float] | Floats) -> float:
    return float(np.mean(values)) if len(values) else 0.0
