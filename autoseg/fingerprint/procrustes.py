"""Comparing arrangements of points of many cases at once, up to shift, scale and rotation (Procrustes, closed form by SVD).

Legend: N and M cases, K points (classes), n axes (2 or 3). A point that a case does not have is NaN in all axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """How each of N arrangements lies on each of M others.

    Parameters
    ----------
    distance : array, shape (N, M)
        sqrt(share of the points' variance that stays unexplained): 0 the same, 1 unrelated. NaN if fewer than the needed points are shared.
    rotation : array, shape (N, M, n, n)
        R so that scale * R @ (x - mean) lies nearest to the other's points.
    """

    distance: NDArray[np.float64]
    rotation: NDArray[np.float64]

    def degrees(self) -> NDArray[np.float64]:
        """Angle of each rotation, 0 to 180, (N, M)."""
        return angle_degrees(self.rotation)


def angle_degrees(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle of rotation matrices (..., n, n), 0 to 180 degrees."""
    n = rotation.shape[-1]
    cosine = (np.trace(rotation, axis1=-2, axis2=-1) - (n - 2)) / 2
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def fit_pairs(moving: Points, fixed: Points, *, needed: int) -> Fit:
    """Fit every arrangement of `moving` (N, K, n) to every one of `fixed` (M, K, n) over the points that both have.

    Parameters
    ----------
    needed : int
        Shared points below which a pair is not compared.

    Notes
    -----
    Kabsch's solution: with the cross-covariance S = U diag(s) V^T the best proper rotation explains sum(s) with the last sign set by
    det(U V^T); the variance explained after scaling is that sum squared over the product of both variances.
    """
    here, there = ~np.isnan(moving[..., 0]), ~np.isnan(fixed[..., 0])
    x, y = _centred(moving), _centred(fixed)
    shared = (here[:, None] & there[None]).astype(np.float64)
    count = np.maximum(shared.sum(-1), 1)
    mean_x = np.einsum("ijk,ika->ija", shared, x) / count[..., None]
    mean_y = np.einsum("ijk,jka->ija", shared, y) / count[..., None]
    cross = (
        np.einsum("ijk,jka,ikb->ijab", shared, y, x, optimize=True) - count[..., None, None] * mean_y[..., :, None] * mean_x[..., None, :]
    )
    spread_x = np.einsum("ijk,ika,ika->ij", shared, x, x, optimize=True) - count * (mean_x**2).sum(-1)
    spread_y = np.einsum("ijk,jka,jka->ij", shared, y, y, optimize=True) - count * (mean_y**2).sum(-1)
    u, s, vt = np.linalg.svd(cross)
    sign = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    explained = s[..., :-1].sum(-1) + sign * s[..., -1]
    share = explained**2 / np.maximum(spread_x * spread_y, 1e-30)
    distance = np.sqrt(np.clip(1 - share, 0, 1))
    distance[(shared.sum(-1) < needed) | (spread_x <= 1e-12) | (spread_y <= 1e-12)] = np.nan
    u[..., -1] *= sign[..., None]
    return Fit(distance=distance, rotation=u @ vt)


def residuals(moving: Points, fixed: Points, *, rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each point after fitting one arrangement (K, n) to another, over the size of the other, (K,); NaN where not shared."""
    shared = ~np.isnan(moving[:, 0]) & ~np.isnan(fixed[:, 0])
    x = moving - moving[shared].mean(0)
    y = fixed - fixed[shared].mean(0)
    turned = x @ rotation.T
    scale = np.nansum(turned[shared] * y[shared]) / max(float(np.sum(x[shared] ** 2)), 1e-30)
    size = np.sqrt(np.mean(np.sum(y[shared] ** 2, axis=1)))
    return np.asarray(np.linalg.norm(scale * turned - y, axis=1) / max(float(size), 1e-30))


def _centred(points: Points) -> Points:
    """Each case about the middle of its own points (for accuracy), absent ones at 0."""
    with np.errstate(invalid="ignore"):
        count = np.maximum((~np.isnan(points[..., :1])).sum(1, keepdims=True), 1)
        middle = np.nansum(points, axis=1, keepdims=True) / count
    return np.asarray(np.nan_to_num(points - middle))


def flipped(points: Points, axis: int) -> Points:
    """Mirror images along `axis`, any shape (..., n)."""
    signs = np.ones(points.shape[-1])
    signs[axis] = -1
    return np.asarray(points * signs)
