"""Every change of frame: pixels, feature cells, padded canvases, unit squares.

A pixel frame has x right, y down and integers at pixel centres, so an image of width W
covers x from -0.5 to W - 0.5. Resizing maps edges to edges.
"""

import jax
import jax.numpy as jnp

Size = tuple[int, ...]  # (H, W), as `image.shape[:2]` gives it.


def pixel_grid(height: int, width: int) -> jax.Array:
    """(x, y) of every pixel centre, `[H, W, 2]` float32."""
    x, y = jnp.meshgrid(jnp.arange(width), jnp.arange(height))
    return jnp.stack([x, y], axis=-1).astype(jnp.float32)


def resize_points(xy, from_size: Size, to_size: Size):
    """Points `[..., 2]` of an (H, W) image in the frame of the same image resized."""
    (h0, w0), (h1, w1) = from_size, to_size
    return (xy + 0.5) * _pair(w1 / w0, h1 / h0, like=xy) - 0.5


def cell_to_pixel(cell, stride: float, first: float | None = None):
    """Centre of stride-`stride` feature cells, `[..., 2]` cells to pixels.

    Args:
        first: the pixel on which cell 0 is centred, where cells are no tiles of the
            picture (`models.backbones.Backbone.first`); None: they are.
    """
    if first is not None:
        return cell * stride + first
    return (cell + 0.5) * stride - 0.5


def pixel_to_cell(xy, stride: float, first: float | None = None):
    """Inverse of `cell_to_pixel`; cells are not rounded."""
    if first is not None:
        return (xy - first) / stride
    return (xy + 0.5) / stride - 0.5


def to_unit(xy, size: Size):
    """Pixels of an (H, W) image to [-1, 1], image edges at -1 and 1."""
    return (2 * xy + 1) / _pair(size[1], size[0], like=xy) - 1


def from_unit(xy, size: Size):
    """Inverse of `to_unit`."""
    return ((xy + 1) * _pair(size[1], size[0], like=xy) - 1) / 2


def in_boxes(xy, size: Size, truth):
    """Points inside their picture and one of its boxes, edges included: `[B, P]` bool.

    A picture without a valid box counts whole.

    Args:
        xy: `[B, P, 2]` pixels of (H, W) `size`.
        truth: a batch's fields; `boxes` `[B, N, 4]` and `boxes_valid` `[B, N]` may lack.
    """
    inside = (jnp.abs(to_unit(xy, size)) <= 1).all(axis=-1)
    if truth.get('boxes') is None:
        return inside
    boxes, valid = truth['boxes'][:, None], truth['boxes_valid']
    at = xy[:, :, None]  # [B, P, 1, 2] against [B, 1, N, 4].
    within = ((at >= boxes[..., :2]) & (at <= boxes[..., 2:])).all(axis=-1)
    on_one = (within & valid[:, None]).any(axis=-1)
    return inside & (on_one | ~valid.any(axis=1, keepdims=True))


def _pair(x, y, *, like):
    """(x, y) with the rank of points `[..., 2]`: ranks are not promoted silently."""
    return jnp.array([x, y], jnp.float32).reshape((1,) * (jnp.ndim(like) - 1) + (2,))
