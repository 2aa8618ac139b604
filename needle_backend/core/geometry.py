"""Angles, lines and segments in millimetres; every function takes stacks of vectors at once."""

from __future__ import annotations

import numpy as np


def wrap_deg(angle_deg: np.ndarray | float) -> np.ndarray:
    """Map angles to the half-open interval (-180, 180] degrees."""
    return 180.0 - np.mod(180.0 - np.asarray(angle_deg, float), 360.0)


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors of shape (..., d) to length one; zero vectors stay zero."""
    vectors = np.asarray(vectors, float)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def polar_angle_deg(vectors_lps: np.ndarray) -> np.ndarray:
    """Return the in-slice direction of vectors (..., 2 or 3) as a network's angle head states it.

    The angle is atan2(-dy, dx) in millimetres: y points down the array (posterior), so that
    flipping an image left to right maps a to 180 - a, and upside down to -a.
    """
    vectors_lps = np.asarray(vectors_lps, float)
    return np.degrees(np.arctan2(-vectors_lps[..., 1], vectors_lps[..., 0]))


def direction_of_angle(angle_deg: np.ndarray) -> np.ndarray:
    """Inverse of :func:`polar_angle_deg`: unit vectors (..., 2) along x and y."""
    radians = np.radians(angle_deg)
    return np.stack((np.cos(radians), -np.sin(radians)), axis=-1)


def mean_angle_deg(angle_deg: np.ndarray, weights: np.ndarray) -> float:
    """Average angles as weighted unit vectors, so that 359 and 1 degrees average to 0."""
    radians = np.radians(angle_deg)
    return float(
        np.degrees(np.arctan2(np.sum(weights * np.sin(radians)), np.sum(weights * np.cos(radians))))
    )


def angle_between_lines_deg(directions_a: np.ndarray, directions_b: np.ndarray) -> np.ndarray:
    """Return the angle, 0..90 degrees, between undirected lines; shapes (..., 3) broadcast.

    The sine keeps the small angles that the cosine alone would round away.
    """
    a, b = unit_vectors(directions_a), unit_vectors(directions_b)
    sine = np.linalg.norm(np.cross(a, b), axis=-1)
    cosine = np.abs(np.sum(a * b, axis=-1))
    return np.degrees(np.arctan2(sine, cosine))


def segment_distances(
    start_a: np.ndarray, end_a: np.ndarray, start_b: np.ndarray, end_b: np.ndarray
) -> np.ndarray:
    """Return the closest distance of segments a and b, in mm.

    Parameters
    ----------
    start_a, end_a, start_b, end_b
        Ends of the segments; shapes (..., 3) broadcast, so ``start_a[:, None]`` against
        ``start_b[None]`` gives the table of all pairs. Segments may be points.

    Notes
    -----
    The squared distance is convex in the two parameters (s, t) of the closest points: clamp the
    unconstrained s to 0..1, take the best t for it, clamp that, and take the best s for it again.
    For (nearly) parallel segments s is free and starts at 0.
    """
    along_a = np.asarray(end_a, float) - start_a
    along_b = np.asarray(end_b, float) - start_b
    between = np.asarray(start_a, float) - start_b
    aa, bb, ab = _dot(along_a, along_a), _dot(along_b, along_b), _dot(along_a, along_b)
    a_between, b_between = _dot(along_a, between), _dot(along_b, between)
    determinant = aa * bb - ab * ab
    s = _fraction(ab * b_between - bb * a_between, determinant, determinant > 1e-12 * aa * bb)
    t = _fraction(ab * s + b_between, bb, bb > 0)
    s = _fraction(ab * t - a_between, aa, aa > 0)
    gap = between + s[..., None] * along_a - t[..., None] * along_b
    return np.sqrt(_dot(gap, gap))


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("...i,...i->...", a, b)


def _fraction(numerator: np.ndarray, denominator: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Divide, clamp to a segment's 0..1, and give 0 where the division has no meaning."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    quotient = np.divide(numerator, denominator, out=np.zeros(shape), where=valid)
    return np.clip(quotient, 0.0, 1.0)
