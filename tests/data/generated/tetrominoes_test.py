import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from scipy.stats import chisquare

from kpdiscovery.data.generated import tetrominoes as module
from kpdiscovery.data.generated.tetrominoes import BLOCKS, RGB, SHAPES, tetrominoes

COUNT = 3000


def rows(count=COUNT, **options):
    """Numpy rows of the training split, drawn in chunks."""
    source = tetrominoes(split='train', **options)
    chunks = [jax.device_get(source.batch(range(i, i + 500)))
              for i in range(0, count, 500)]  # fmt: skip
    return jax.tree.map(lambda *parts: np.concatenate(parts), *chunks)


@pytest.fixture(scope='module')
def scenes():
    return rows()


# Shapes.


def test_nineteen_shapes_are_all_one_sided_tetrominoes():
    """Every set of four connected cells, turned but not mirrored, is there once."""
    seen = {frozenset(map(tuple, b.tolist())) for b in BLOCKS}
    assert len(seen) == len(SHAPES) == 19
    assert seen == fixed_tetrominoes()


def fixed_tetrominoes():
    """Grown cell by cell from one; translations removed."""
    shapes = {frozenset({(0, 0)})}
    for _ in range(3):
        shapes = {
            shape | {(x + dx, y + dy)}
            for shape in shapes
            for x, y in shape
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))
            if (x + dx, y + dy) not in shape
        }
    return {
        frozenset((x - min(a for a, _ in s), y - min(b for _, b in s)) for x, y in s)
        for s in shapes
    }


def test_letters_have_as_many_orientations_as_the_reference_counts():
    letters = [name[0] for name in SHAPES]
    want = {'I': 2, 'O': 1, 'T': 4, 'S': 2, 'Z': 2, 'L': 4, 'J': 4}
    assert {letter: letters.count(letter) for letter in letters} == want


def test_turned_names_are_turned_shapes():
    at = dict(zip(SHAPES, BLOCKS.tolist(), strict=True))
    assert sorted(at['T']) == [[0, 0], [1, 0], [1, 1], [2, 0]]  # Stem below.
    assert sorted(at['T90']) == [[0, 1], [1, 0], [1, 1], [1, 2]]  # Stem left.
    assert {tuple(b) for b in at['S']} == {(1, 0), (2, 0), (0, 1), (1, 1)}


# Statistics.


def test_shapes_and_colours_are_uniform(scenes):
    for name, kinds in (('shape', 19), ('color', 6)):
        counts = np.bincount(scenes['attributes'][name].ravel(), minlength=kinds)
        assert len(counts) == kinds
        assert chisquare(counts).pvalue > 1e-3


def test_colour_does_not_depend_on_shape_or_neighbour(scenes):
    shape, color = scenes['attributes']['shape'], scenes['attributes']['color']
    table = np.zeros((6, 6))
    np.add.at(table, (color[:, 0], color[:, 1]), 1)
    assert chisquare(table.ravel()).pvalue > 1e-3
    table = np.zeros((19, 6))
    np.add.at(table, (shape.ravel(), color.ravel()), 1)
    assert chisquare(table.ravel()).pvalue > 1e-3


def test_objects_may_be_anywhere(scenes):
    visits = (scenes['instances'] >= 0).mean(0)
    assert visits.min() > 0.005
    np.testing.assert_allclose(visits, visits[:, ::-1], atol=0.04)
    np.testing.assert_allclose(visits, visits[::-1], atol=0.04)
    mirror = (scenes['boxes'][..., 0] + 0.5).astype(int)
    assert mirror.min() == 0
    assert (scenes['boxes'][..., 2] + 0.5).max() == 35


# Pictures.


def test_three_whole_objects_without_overlap(scenes):
    areas = [(scenes['instances'] == n).sum((1, 2)) for n in range(3)]
    np.testing.assert_array_equal(areas, 100)  # 4 blocks of 25 px: none is covered.
    assert scenes['instances'].min() == -1
    assert scenes['instances'].max() == 2


def test_the_most_crowded_scenes_do_not_overlap():
    """Two T180 and a J90 clash in 9 of 10 layouts, so many tries are needed."""
    shapes = [SHAPES.index(name) for name in ('T180', 'J90', 'T180')]
    place = jax.vmap(
        lambda key: module._place(key, jnp.asarray(BLOCKS)[jnp.array(shapes)])
    )
    corners = jax.jit(place)(jax.random.split(jax.random.key(0), 4000))
    instances = jax.jit(jax.vmap(lambda c: module._paint(c, 35)))(corners)
    assert ((np.asarray(instances) >= 0).sum((1, 2)) == 300).all()


def test_pixels_have_the_colour_of_their_object(scenes):
    color = scenes['attributes']['color']
    palette = np.concatenate(
        [np.zeros((COUNT, 1, 3), int), 255 * RGB.astype(int)[color]], 1
    )
    want = palette[np.arange(COUNT)[:, None, None], scenes['instances'] + 1]
    np.testing.assert_array_equal(scenes['image'], want)
    assert scenes['image'].dtype == np.uint8


def test_objects_have_their_shape_in_blocks_of_five(scenes):
    for i in range(200):
        for n in range(3):
            inside = scenes['instances'][i] == n
            y, x = (int(axis.min()) for axis in np.nonzero(inside))
            want = np.zeros((35 + 20, 35 + 20), bool)
            for dx, dy in BLOCKS[scenes['attributes']['shape'][i, n]]:
                want[y + 5 * dy : y + 5 * dy + 5, x + 5 * dx : x + 5 * dx + 5] = True
            np.testing.assert_array_equal(inside, want[:35, :35])


def test_boxes_are_tight(scenes):
    assert scenes['boxes_valid'].all()
    for i in range(200):
        found = ndimage.find_objects(scenes['instances'][i] + 1)
        for (y, x), box in zip(found, scenes['boxes'][i], strict=True):
            want = (x.start - 0.5, y.start - 0.5, x.stop - 0.5, y.stop - 0.5)
            np.testing.assert_array_equal(box, want)


def test_other_sizes_are_the_same_scenes_by_nearest_neighbour(scenes):
    size = 112
    large = rows(500, size=size)
    for i in range(20):
        want = Image.fromarray(scenes['image'][i]).resize((size, size), 0)
        np.testing.assert_array_equal(large['image'][i], np.asarray(want))
    scale = size / 35
    want = (scenes['boxes'][:500] + 0.5) * scale - 0.5
    np.testing.assert_allclose(large['boxes'], want, atol=1e-4)


# Options.


def test_seventeen_shapes():
    names = {SHAPES[i] for i in np.unique(rows(1000, shapes=17)['attributes']['shape'])}
    assert len(names) == 17
    assert set(SHAPES) - names == {'I90', 'S90'}
    with pytest.raises(ValueError, match='17 or 19, got 18'):
        tetrominoes(split='train', shapes=18)


def test_splits():
    lengths = {split: len(tetrominoes(split=split))
               for split in ('train', 'validation', 'test')}  # fmt: skip
    assert lengths == {'train': 50_000, 'validation': 1_000, 'test': 10_000}
    assert len(tetrominoes(split='test', length=7)) == 7
    first = [tetrominoes(split=split)[0]['image'] for split in lengths]
    assert (first[0] != first[1]).any() and (first[1] != first[2]).any()
    assert module.tetrominoes(split='test').truth == (
        'attributes',
        'boxes',
        'boxes_valid',
        'instances',
    )
