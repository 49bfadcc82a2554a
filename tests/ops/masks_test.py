import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from scipy import ndimage

from kpdiscovery.ops import masks

WEIGHT_MAP = np.zeros((8, 8), np.float32)  # Worked by hand below.
WEIGHT_MAP[1:4, 1:4], WEIGHT_MAP[5:7, 5:8], WEIGHT_MAP[0, 7] = 1, 0.6, 0.05
CORNER = np.zeros((4, 4), np.float32)
CORNER[:2, :2], CORNER[3, 3], CORNER[2, 0] = 1, 0.5, 0.05


# Compiled once a shape; one by one their steps take longer.
largest_box = jax.jit(masks.largest_box)
concentration = jax.jit(masks.concentration, static_argnames='fraction')


def drawn(*rows):
    """Pixels that are not '.', in the middle of `[8, 8]`."""
    mask = np.zeros((8, 8), bool)
    for y, row in enumerate(rows):
        mask[y + 1, 1 : len(row) + 1] = [c != '.' for c in row]
    return jnp.asarray(mask)


@jax.jit
def filled_areas(mask):
    """Of all components, those in holes of others too."""
    mask = masks._with_margin(mask)
    areas = jnp.vectorize(masks._areas, signature='(h,w),(h,w)->(h,w)')
    return areas(mask, masks._regions(mask))


def area(*rows):
    """Of the largest component, holes filled."""
    return float(filled_areas(drawn(*rows)).max())


def random_masks(rng):
    """Noise of several densities, blobs, rings with things inside, lines."""
    size = (24, 31)
    for share in (0.1, 0.3, 0.45, 0.55, 0.7, 0.9):
        yield from rng.random((12, *size)) < share
    for sigma in (1, 2, 4):
        for _ in range(12):
            smooth = ndimage.gaussian_filter(rng.normal(size=size), sigma)
            blob = smooth > 0
            yield blob
            yield blob & ~ndimage.binary_erosion(blob)  # Thin outlines.
            yield np.abs(smooth) < 0.3 * smooth.std()
    for _ in range(24):
        yield nested(rng, size)


def nested(rng, size):
    """Boxes and diamonds in one another, and spurs."""
    y, x = np.indices(size)
    mask = np.zeros(size, bool)
    for radius in (10, 7, 4, 1):
        gap = abs(y - 12), abs(x - 15)
        gap = sum(gap) if rng.random() < 0.5 else np.maximum(*gap)
        mask ^= gap <= radius
    mask[rng.integers(24)] = True
    mask ^= rng.random(size) < 0.02
    return mask


# Worked by hand.


def test_areas():
    assert area('.....', '.###.', '.###.', '.###.') == 4
    assert area('####', '####') == 3  # (w - 1)(h - 1).
    assert area('.#.', '###', '.#.') == 2
    assert area('.....', '.###.') == 0
    assert area('#####', '#...#', '#...#', '#...#', '#####') == 16


def test_areas_where_the_polygon_is_thin():
    assert area('.#.', '#.#', '.#.') == 2  # A hole behind corners.
    assert area('#..', '.#.', '..#') == 0
    assert area('##..', '##..', '..##', '..##') == 2  # Pinched.
    assert area('###', '###', '..####') == 3  # A spur, by two triangles.


def test_concentration_of_the_reference():
    got = concentration(jnp.asarray(WEIGHT_MAP))
    assert got == pytest.approx(9 / 12.6, abs=1e-6)
    assert masks.binary_threshold(jnp.asarray(WEIGHT_MAP), fraction=0.1).sum() == 15
    got = concentration(jnp.pad(jnp.asarray(CORNER), (0, 4)))
    assert got == pytest.approx(4 / 4.5, abs=1e-6)
    assert concentration(jnp.full((8, 8), 0.3)) == 1


def test_box_of_the_reference():
    mask = masks.binary_threshold(jnp.asarray(WEIGHT_MAP), fraction=0.1)
    box, valid = masks.largest_box(mask)
    assert valid
    assert box.tolist() == [0.5, 0.5, 3.5, 3.5]  # There (1, 1, 4, 4), a pixel too far.


# Against other code.


@pytest.mark.parametrize('diagonal', [True, False])
def test_runs_and_roots_find_the_same(rng, diagonal):
    """What a TPU does and what others do."""
    mask = jnp.asarray(np.stack([*random_masks(rng)][::5]))
    find = jax.vmap(masks._by_runs)
    got = jnp.where(mask, jax.jit(find)(mask if diagonal else ~mask), -1)
    want = masks.connected_components(mask, diagonal=diagonal)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize('diagonal', [True, False])
def test_components_are_those_of_scipy(rng, diagonal):
    near = np.ones((3, 3)) if diagonal else None
    every = np.stack(list(random_masks(rng)))
    label = jax.jit(masks.connected_components, static_argnames='diagonal')
    got = np.asarray(label(jnp.asarray(every), diagonal=diagonal))
    place = np.arange(every[0].size).reshape(every[0].shape)
    for mask, labels in zip(every, got, strict=True):
        want, count = ndimage.label(mask, near)
        first = ndimage.minimum(place, want, range(1, count + 1)).astype(int)
        np.testing.assert_array_equal(labels, np.append(first, -1)[want - 1])


def test_holes_are_those_of_scipy(rng):
    every = np.stack(list(random_masks(rng)))
    want = np.stack([ndimage.binary_fill_holes(mask) for mask in every])
    got = jax.jit(masks.fill_holes)(jnp.asarray(every))
    np.testing.assert_array_equal(got, want)


def test_areas_and_boxes_are_those_of_opencv(rng):
    cv2 = pytest.importorskip('cv2')
    every = np.stack(list(random_masks(rng)))
    areas = np.asarray(filled_areas(jnp.asarray(every)))
    boxes, valid = largest_box(jnp.asarray(every))
    assert valid.all()
    for mask, area, box in zip(every, areas, np.asarray(boxes), strict=True):
        how = cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
        found, (around,) = cv2.findContours(mask.astype(np.uint8), *how)
        outer = [f for f, a in zip(found, around, strict=True) if a[3] < 0]
        want = sorted(cv2.contourArea(f) for f in outer)
        np.testing.assert_array_equal(np.sort(area[area >= 0]), want)
        tree = cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE
        found, _ = cv2.findContours(mask.astype(np.uint8), *tree)
        x, y, w, h = cv2.boundingRect(max(found, key=cv2.contourArea))
        assert box.tolist() == [x - 0.5, y - 0.5, x + w - 0.5, y + h - 0.5]


def test_the_stopping_score_labels_once():
    score = jax.jit(masks.concentration).trace(jnp.ones((2, 8, 8)))
    for platform in ('cpu', 'cuda'):
        text = score.lower(lowering_platforms=(platform,)).as_text()
        assert text.count('stablehlo.while') == 1


def test_a_spiral_is_one_component():
    mask = np.zeros((41, 41), bool)
    y, x, step, direction = 20, 20, 1, 0
    while step < 40:
        for _ in range(2):
            dy, dx = [(0, 1), (1, 0), (0, -1), (-1, 0)][direction % 4]
            for _ in range(step):
                y, x = y + dy, x + dx
                mask[np.clip(y, 0, 40), np.clip(x, 0, 40)] = True
            direction += 1
        step += 2
    for find in (masks._by_roots, masks._by_runs):
        assert len(np.unique(jax.jit(find)(mask))) == 2


# Bad input, invariance, transformations.


def test_nothing_gives_zeros():
    empty = jnp.zeros((8, 8), bool)
    box, valid = largest_box(empty)
    assert not valid and not box.any()
    assert (filled_areas(empty) == -1).all()
    some = jnp.eye(8)
    bad = jnp.stack([jnp.zeros((8, 8)), some.at[3, 3].set(jnp.nan), -1 - some])
    assert not masks.binary_threshold(bad, fraction=0.1).any()
    np.testing.assert_array_equal(concentration(bad), 0)


def test_everything_and_one_pixel():
    box, valid = largest_box(jnp.ones((8, 8), bool))
    assert valid and box.tolist() == [-0.5, -0.5, 7.5, 7.5]
    box, valid = largest_box(drawn('', '..#'))
    assert valid and box.tolist() == [2.5, 1.5, 3.5, 2.5]


def test_the_last_of_equals():
    box, _ = largest_box(drawn('##.##', '##.##'))
    assert box.tolist() == [3.5, 0.5, 5.5, 2.5]


def test_scale_and_turns_change_nothing(rng):
    maps = jnp.asarray(rng.random((3, 8, 8)) ** 6, jnp.float32)  # Few stand out.
    want = concentration(maps)
    others = 8 * maps, maps.swapaxes(1, 2), maps[:, ::-1], maps[..., ::-1]
    for other in others:  # Areas that are equal would differ: there are none here.
        got = concentration(other)
        np.testing.assert_allclose(got, want, atol=1e-6)
    half = jax.eval_shape(masks.concentration, maps.astype(jnp.bfloat16))
    assert half.dtype == jnp.float32 and half.shape == (3,)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r'in \(0, 1\], got 0'):
        masks.binary_threshold(jnp.ones((2, 2)), fraction=0)
    with pytest.raises(ValueError, match=r'got \(3,\)'):
        masks.concentration(jnp.ones(3))
    for op in (masks.connected_components, masks.fill_holes, masks.largest_box):
        with pytest.raises(ValueError, match=r'got float32\(2, 2\)'):
            op(jnp.ones((2, 2)))


def test_same_under_vmap_and_one_by_one(rng):
    maps = jnp.asarray(rng.random((2, 3, 8, 8)), jnp.float32)

    def every(m):
        labels = masks.connected_components(m > 0.6)
        return masks.largest_box(m > 0.6), labels, masks.concentration(m)

    want, one = jax.jit(every)(maps), jax.jit(every)
    same = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6)
    jax.tree.map(same, jax.jit(jax.vmap(jax.vmap(every)))(maps), want)
    for place in np.ndindex(2, 3):
        part = jax.tree.map(operator.itemgetter(place), want)
        jax.tree.map(same, one(maps[place]), part)


def test_gradients_are_finite(rng):
    maps = jnp.asarray(rng.random((2, 8, 8)), jnp.float32).at[1].set(0)
    total = lambda m: masks.concentration(m, fraction=0.5).sum()
    grad = jax.jit(jax.grad(total))(maps)
    assert jnp.isfinite(grad).all() and not grad[1].any()


@pytest.mark.tpu_aot
def test_chips_label_their_own_pictures(tpu_topology):
    mesh = Mesh(tpu_topology('v5e:2x4'), ('data',), axis_types=(AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec('data'))
    given = jax.ShapeDtypeStruct((16, 8, 8), jnp.bool_, sharding=rows)
    with jax.set_mesh(mesh):
        program = jax.jit(masks.connected_components).lower(given).compile()
    words = 'all-gather', 'all-reduce', 'all-to-all', 'collective-permute'
    assert not [word for word in words if word in program.as_text()]
