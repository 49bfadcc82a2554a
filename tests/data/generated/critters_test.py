import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpdiscovery.data import build
from kpdiscovery.data.generated.critters import (
    ATTRIBUTES,
    CODES,
    KEYPOINTS,
    NUM_CLASSES,
    PART_NAMES,
    anatomy,
    animals,
    body,
    critters,
    pose,
    scenery,
    shapes,
    truth,
)
from kpdiscovery.data.generated.critters.chance import LEVELS, chance
from kpdiscovery.ops import coordinates
from kpdiscovery.types import UserError

ROWS, MARKS, COLORS = 320, list(KEYPOINTS), anatomy.COLORS
FROZEN = [  # `fingerprint` of rows 0 to 2: train, validation, test; easy; hard, three.
    [16, 20.75, -6.52, -36.46], [0, 7.17, -0.95, -90.62], [18, 45.95, -3.13, -472.49],
    [14, 5.64, -2.03, -1425.41], [8, 62.02, -0.35, -2122.35], [11, 20.06, 3.8, 148.77],
    [12, 22.12, -2.22, 183.3], [19, 18.65, 5.84, -29.27], [12, 1.05, -3.34, 62.65],
    [16, 14.37, -7.56, 159.1], [0, 9.89, 1.56, -437.09], [18, 42.85, -3.98, 65.79],
    [16, 39.21, 3.05, 453.96], [0, 38.17, 4.1, -1149.92], [18, 35.45, -6.72, -1184.37],
]  # fmt: skip


def numpy_rows(rows, **options):
    source = critters(split='train', **options)
    return jax.tree.map(np.asarray, source.batch(range(rows)))


@pytest.fixture(scope='module')
def rows():
    return numpy_rows(ROWS)


@pytest.fixture(scope='module')
def plain():
    return numpy_rows(96, level='easy')


@pytest.fixture(scope='module')
def crowds():
    return numpy_rows(32, level='hard', instances=3)


@pytest.fixture(scope='module')
def resting():
    """Function from codes `[B, 6]` to shapes and points of animals 29 px long at 64."""

    @jax.jit
    @jax.vmap
    def rest(code):
        angles = jnp.deg2rad(pose._REST)
        bones = pose.skeleton(angles, jnp.full(len(anatomy.GROUPS), 0.5), 1.0)
        frames = pose.see(bones, pose.Turn(1.0, 0.0, 1.0, 0.45))
        colors = body.draw_colors(jnp.full(12, 0.4), code)
        loose, box = body.dress(frames, code, colors, 0), body.extent(frames)
        spot = animals.place(loose, box, jnp.full(2, 0.5), 0.45, 64)
        frames = pose.to_pixels(frames, *spot)
        return body.dress(frames, code, colors, 0), pose.keypoints(frames, code)

    return rest


def test_classes_need_several_parts():
    assert CODES.shape == (20, 6) and NUM_CLASSES == 20
    apart = (CODES[:, None] != CODES[None]).sum(-1)
    assert apart[~np.eye(20, dtype=bool)].min() == 3
    for values in CODES.T:  # One attribute: the best guess is one class for each value.
        count = np.bincount(values, minlength=3)
        assert count.min() >= 6 and count.max() <= 7
        assert len(count) / 20 <= 0.2


def test_fields(rows):
    assert critters(split='train').truth == (
        'attributes', 'boxes', 'boxes_valid', 'keypoints', 'label', 'mask', 'part_boxes',
        'part_label', 'parts', 'pose', 'visible')  # fmt: skip
    want = {
        'image': ((64, 64, 3), np.uint8), 'label': ((), np.int32),
        'keypoints': ((12, 2), np.float32), 'visible': ((12,), np.bool_),
        'boxes': ((1, 4), np.float32), 'boxes_valid': ((1,), np.bool_),
        'mask': ((64, 64), np.bool_), 'parts': ((64, 64), np.int32),
    }  # fmt: skip
    for name, (shape, dtype) in want.items():
        assert rows[name].shape == (ROWS, *shape) and rows[name].dtype == dtype, name
    assert all(v.shape == (ROWS, 1) for v in rows['attributes'].values())
    assert list(rows['attributes']) == sorted(ATTRIBUTES)


def test_labels_are_uniform_and_spell_the_attributes(rows):
    share = np.bincount(rows['label'], minlength=20) / ROWS
    assert len(share) == 20 and np.abs(share - 0.05).max() < 4 * np.sqrt(0.05 / ROWS)
    spelt = np.stack([rows['attributes'][name][:, 0] for name in ATTRIBUTES], axis=-1)
    np.testing.assert_array_equal(spelt, CODES[rows['label']])


def test_part_boxes_hold_what_is_seen_of_their_parts(rows):
    for parts, boxes, label in zip(
        rows['parts'][:20], rows['part_boxes'], rows['part_label'], strict=False
    ):
        for number, box in enumerate(boxes):
            y, x = np.nonzero(parts == number + 1)
            assert label[number] == (number if len(x) else -1)
            if len(x):
                edges = [x.min() - 0.5, y.min() - 0.5, x.max() + 0.5, y.max() + 0.5]
                np.testing.assert_array_equal(box, edges)


def test_mask_parts_and_boxes_agree(rows):
    np.testing.assert_array_equal(rows['mask'], rows['parts'] > 0)
    assert set(np.unique(rows['parts'])) == set(range(len(PART_NAMES)))
    assert rows['boxes_valid'].all()
    for mask, box in zip(rows['mask'], rows['boxes'][:, 0], strict=True):
        y, x = np.nonzero(mask)
        want = [x.min() - 0.5, y.min() - 0.5, x.max() + 0.5, y.max() + 0.5]
        np.testing.assert_array_equal(box, want)


def parts_around(rows, i, mark, reach):
    """Parts within `reach` pixels of a keypoint."""
    x, y = np.round(rows['keypoints'][i, mark]).astype(int)
    near = (
        slice(max(y - reach, 0), y + reach + 1),
        slice(max(x - reach, 0), x + reach + 1),
    )
    return set(rows['parts'][i][near].ravel())


def test_visible_points_lie_on_their_parts(rows):
    for m, mark in enumerate(KEYPOINTS.values()):
        own = {anatomy.PART_OF[anatomy.LIMBS.index(limb)] for limb in mark.limbs}
        seen = np.flatnonzero(rows['visible'][:, m])
        on = [bool(own & parts_around(rows, i, m, reach=1)) for i in seen]
        assert len(seen) > 0.6 * ROWS and np.mean(on) > 0.98, mark


def test_hidden_points_lie_under_something_else(rows):
    xy, size = rows['keypoints'], rows['image'].shape[1]
    outside = ((xy < -0.5) | (xy >= size - 0.5)).any(-1)
    assert not rows['visible'][outside].any() and 0.01 < outside.mean() < 0.1
    rump = MARKS.index('rump')  # Mostly under the wing; else under an occluder.
    hidden = np.flatnonzero(~rows['visible'][:, rump] & ~outside[:, rump])
    under = [parts_around(rows, i, rump, reach=0) <= {0, 3, 5} for i in hidden]
    assert len(hidden) > 0.1 * ROWS and np.mean(under) > 0.95


def test_occluders_hide_and_ground_does_not(resting):
    animal, points = jax.tree.map(lambda leaf: leaf[0], resting(CODES[:1]))
    eye = MARKS.index('eye')
    place = points[eye][None]
    disc = scenery.nobody(place, place, jnp.array([[2.0, 2.0, 0.0]]))

    @jax.jit
    def visible(animal, disc, points):
        behind, before = shapes.join(disc, animal), shapes.join(animal, disc)
        top, ask = jnp.full((64, 64), -1), truth.truth_of
        asked = ask(animal, top, points, 0), ask(behind, top, points, 1)
        return [t['visible'][0] for t in (*asked, ask(before, top, points, 0))]

    free, behind, before = map(np.asarray, visible(animal, disc, points[None]))
    np.testing.assert_array_equal(behind, free)
    distance = np.linalg.norm(points - place, axis=-1)
    assert free[eye] and not before[eye]
    np.testing.assert_array_equal(before, free & (distance >= 2))


@pytest.mark.parametrize('attribute', ATTRIBUTES)
def test_every_attribute_shows_in_the_smallest_animals(resting, paint, attribute):
    codes = np.tile(CODES[:1], (3, 1))
    codes[:, list(ATTRIBUTES).index(attribute)] = range(3)
    pictures = np.asarray(paint(resting(codes)[0]))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        changed = np.abs(pictures[i] - pictures[j]).max(-1) > 0.15
        assert changed.sum() >= 8, (attribute, i, j, changed.sum())


@pytest.fixture(scope='module')
def paint():
    def one(animal):
        texture = jnp.ones((64, 64))
        ground = texture, 0 * texture, texture  # No part is as pink as this.
        return jnp.stack(
            shapes.paint(ground, animal, jnp.zeros(2), texture)[0], axis=-1
        )

    return jax.jit(jax.vmap(one))


def test_only_the_legs_colour_tells_the_class():
    u = jax.random.uniform(jax.random.key(0), (5, 1, 12))
    draw = jax.jit(jax.vmap(jax.vmap(body.draw_colors, (None, 0)), (0, None)))
    colors = np.asarray(draw(u[:, 0], CODES))  # [5, 20, colours, 3]
    same = (colors == colors[:, :1]).all((0, 1, 3))
    assert {c for c, s in zip(COLORS, same, strict=True) if not s} == {'leg', 'far leg'}


def explained(values, label):
    """Share of the variance of `values` between classes."""
    means = np.array([values[label == c].mean() for c in range(20)])
    return np.var(means[label]) / np.var(values)


def test_nuisance_is_independent_of_the_class(rows):
    label, image = rows['label'], rows['image'].astype(float)
    skin = [im[parts == 2] for im, parts in zip(image, rows['parts'], strict=True)]
    median = [np.median(s, axis=0) for s in skin]
    texture = [  # Without throat patches.
        s[np.abs(s - m[None]).max(-1) < 40].std()
        for s, m in zip(skin, median, strict=True)
    ]
    length = np.subtract(
        *(rows['keypoints'][:, MARKS.index(m)] for m in ('rump', 'eye'))
    )
    facts = [rows['pose'][k][:, 0] for k in ('facing', 'rotation', 'scale')]
    facts += list(rows['pose']['angles'][:, 0, [1, 3, 4, 7, 13]].T)
    facts += [*np.array(median).T, np.array(texture), np.linalg.norm(length, axis=-1)]
    facts += list(rows['keypoints'][:, MARKS.index('shoulder')].T)
    by_chance, spread = 19 / (ROWS - 1), np.sqrt(2 * 19) / (ROWS - 1)
    assert max(explained(f, label) for f in facts) < by_chance + 5 * spread


def test_animals_keep_their_scale_and_stay_inside():
    """At level hard, where animals are largest: on a canvas twice as wide."""
    y, x = np.mgrid[-32:96, -32:96].reshape(2, -1).astype(np.float32)
    inside = (x > -0.5) & (x < 63.5) & (y > -0.5) & (y < 63.5)

    @jax.jit
    def measure(key):
        luck = chance(key, LEVELS['hard'], animals=1, size=64)
        label = (20 * luck.label).astype(jnp.int32)
        animal, _, seen = animals.draw_animals(luck, label, 1.5, 64)
        solid = shapes.covered(animal, x, y).any(axis=0)
        sides = [
            jnp.where(solid, v, 64).min() - jnp.where(solid, v, 0).max() for v in (x, y)
        ]
        long = 1 - jnp.minimum(*sides)
        return (solid & inside).sum() / solid.sum(), long / 64, seen['scale'][0]

    keys = jax.random.split(jax.random.key(0), 80)
    share, long, scale = np.array([measure(key) for key in keys]).T
    assert share.min() >= 0.85 and (share < 1).mean() > 0.1
    ratio = (
        long / scale
    )  # Of 1 but for pixels and the class, which scale must not know.
    assert 0.97 < ratio.mean() < 1.03 and (np.abs(ratio - 1) < 0.25).all()
    assert scale.min() > 0.35 and scale.max() < 0.95


def test_levels_widen_the_pose(rows, plain, crowds):
    spread = [np.abs(r['pose']['rotation']).max() for r in (plain, rows, crowds)]
    wanted = np.array([15, 30, 45]) * np.pi / 180
    assert (spread <= wanted).all() and (spread > 0.9 * wanted).all()
    scale = rows['pose']['scale']
    assert 0.45 <= scale.min() < 0.47 and 0.83 < scale.max() <= 0.85
    assert 0.7 <= rows['pose']['foreshortening'].min() < 0.71


def test_easy_has_a_plain_ground_and_shows_leg_colours(rows, plain):
    def clutter(r):
        pairs = zip(r['image'], r['mask'], strict=True)
        return np.median([im[~mask].std(axis=0).mean() for im, mask in pairs])

    assert clutter(plain) < 6 and clutter(rows) > 25
    legs, unit = [], body.LEG_RGB / np.linalg.norm(body.LEG_RGB, axis=1, keepdims=True)
    for image, parts in zip(plain['image'], plain['parts'], strict=True):
        legs.append(np.argmax(unit @ image[parts == 5].mean(0)))
    assert np.mean(legs == plain['attributes']['leg'][:, 0]) > 0.95


def test_same_scene_at_any_size(plain):
    small = numpy_rows(96, level='easy', size=32)
    np.testing.assert_array_equal(small['label'], plain['label'])
    grown = coordinates.resize_points(small['keypoints'], (32, 32), (64, 64))
    np.testing.assert_allclose(grown, plain['keypoints'], atol=1e-3)
    coarse = plain['mask'].reshape(96, 32, 2, 32, 2).mean((2, 4)) > 0.5
    assert (coarse != small['mask']).mean() < 0.02


def test_crowds(crowds):
    assert crowds['label'].shape == (32, 3) and crowds['visible'].shape == (32, 3, 12)
    assert crowds['keypoints'].shape == (32, 3, 12, 2)
    owners = crowds['instances']
    np.testing.assert_array_equal(owners >= 0, crowds['mask'])
    for i in range(32):
        seen = set(np.unique(owners[i])) - {-1}
        assert seen == set(np.flatnonzero(crowds['boxes_valid'][i]))
        for n in seen:
            y, x = np.nonzero(owners[i] == n)
            want = [x.min() - 0.5, y.min() - 0.5, x.max() + 0.5, y.max() + 0.5]
            np.testing.assert_array_equal(crowds['boxes'][i, n], want)
    assert crowds['boxes_valid'].mean() > 0.97
    assert len(set(crowds['label'][:, 0] - crowds['label'][:, 1])) > 10


def test_a_centred_box_is_a_poor_guess(rows):
    boxes = rows['boxes'][:, 0]
    sides = np.stack(np.meshgrid(*(np.arange(16, 65, 4),) * 2), axis=-1).reshape(-1, 2)
    guess = np.concatenate([31.5 - sides / 2, 31.5 + sides / 2], axis=-1)[:, None]
    low = np.maximum(guess[..., :2], boxes[None, :, :2])
    high = np.minimum(guess[..., 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = [(b[..., 2:] - b[..., :2]).prod(-1) for b in (guess, boxes[None])]
    assert (shared / (areas[0] + areas[1] - shared) >= 0.5).mean(1).max() <= 0.45


def test_row_is_the_same_in_any_order(rows):
    order = np.random.default_rng(0).permutation(ROWS)
    again = critters(split='train').batch(order)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(rows), strict=True):
        np.testing.assert_array_equal(a, b[order])


def test_splits_are_seeds_and_share_a_compilation():
    sources = [critters(split=s) for s in ('train', 'validation', 'test')]
    assert [len(s) for s in sources] == [20_000, 1_000, 2_000]
    assert [int(jax.random.key_data(s.key)[-1]) for s in sources] == [0, 1, 2]
    assert len({s.draw_rows.args[0] for s in sources}) == 1
    assert len(critters(split='test', length=5)) == 5


def test_distances_by_hand():
    def distance(x, y, a, b, radii, blunt=0.0):
        row = shapes.Shapes(
            jnp.array(a), jnp.array(b), jnp.array(radii), blunt, 0, 0, 0
        )
        return shapes.distance(row, jnp.float32(x), jnp.float32(y))[0]

    near = lambda got, want: np.testing.assert_allclose(got, want, atol=1e-5)
    near(distance(3, 4, (0.0, 0.0), (0.0, 0.0), (1.0, 1.0, 0.0)), 4)  # Disc.
    near(distance(5, 3, (0.0, 0.0), (9.0, 0.0), (1.0, 1.0, 0.0)), 2)  # Capsule.
    near(distance(5, 2, (0.0, 0.0), (10.0, 0.0), (0.0, 0.0, 2.0)), 0)  # Ellipse,
    near(distance(2, 1.6, (0.0, 0.0), (10.0, 0.0), (0.0, 0.0, 2.0)), 0)  # off axis.
    triangle = (0.0, 0.0), (4.0, 0.0), (0.0, 2.0, 0.0), 1.0
    near(distance(2, 1, *triangle), 0)
    near(distance(5, 0, *triangle), 1)  # Its base is straight.
    near(distance(5, 1.5, *triangle), 1)


def test_built_by_name_and_bad_options():
    data = {'source': 'critters', 'size': 32, 'options': {'level': 'easy'}}
    assert len(build(data, split='validation')) == 1000
    with pytest.raises(UserError, match=r'data.options of critters'):
        build({**data, 'options': {'levels': 'easy'}}, split='test')
    with pytest.raises(UserError, match="not 'val'"):
        critters(split='val')
    with pytest.raises(UserError, match="not 'medium'"):
        critters(split='train', level='medium')
    with pytest.raises(UserError, match='not 5'):
        critters(split='train', instances=5)


def fingerprint(rows, i):
    """Label, and keypoints, mask and picture weighted by unrelated numbers."""
    fields = [rows[name][i].astype(float) for name in ('keypoints', 'mask', 'image')]
    weighted = [v.ravel() @ np.cos(2.4 * np.arange(v.size)) for v in fields]
    return [int(np.ravel(rows['label'][i])[0]), *(round(float(w), 2) for w in weighted)]


def test_rows_are_frozen(rows, plain, crowds):
    """Up to rounding, in which machines and sizes of a batch differ (by 1e-5 px).

    If this fails a published figure is void: add a level rather than change one.
    """
    others = [critters(split=s).batch(range(ROWS)) for s in ('validation', 'test')]
    sets = [rows, *jax.tree.map(np.asarray, others), plain, crowds]
    got = [fingerprint(data, i) for data in sets for i in range(3)]
    assert [g[0] for g in got] == [f[0] for f in FROZEN]
    # A few pixels of an outline may flip, and colours by one of 255.
    gap = np.abs(np.subtract(got, FROZEN)[:, 1:])
    assert (gap < np.array([[0.02, 3.0, 12.0]])).all(), gap
