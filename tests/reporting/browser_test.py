"""The report in headless Chromium: what a person sees, points at and types."""

import io
import math

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('jinja2')

from kpdiscovery.reporting import album, page
from tests.reporting import pictures
from tests.reporting.chromium import Page, program

COUNT, POINTS = 30, 15  # Pictures of each split, keypoints of each.
TIP = "document.getElementById('tip')"
ORDER = "[...document.querySelectorAll('#grid .frame')].map(f => +f.dataset.shot)"


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    if program() is None:
        pytest.skip('no Chromium on PATH: apt-get install chromium, say')
    found = Page(program(), tmp_path_factory.mktemp('profile'))
    yield found
    found.close()


def splits():
    truth = {
        'keypoints': np.tile(np.array([[10, 10], [80, 40.0]]), (COUNT, 1, 1)),
        'visible': np.ones((COUNT, 2), bool),
    }
    see = lambda name: pictures.see(COUNT, POINTS, split=name, truth=truth)
    return [see('test'), see('train')]


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """The album, and the file of a report with it."""
    errors, most = np.arange(COUNT, dtype=float) * 7 % COUNT, album.Limits(320, 100)
    errors[5] = np.inf  # Nothing was found.
    found = [shot for seen in splits() for shot in album.shots(seen, errors, most)]
    for place, shot in enumerate(found):  # Scores that differ from picture to picture.
        shot['points'][3::4] = [s * (1 - place % 11 / 20) for s in shot['points'][3::4]]
    made = album.fitted('landmark', 'some error, %', found)
    path = tmp_path_factory.mktemp('page') / 'report.html'
    sections = [page.Section('Last', 'last')]
    path.write_text(page.render('A report', 'of a test', made, sections))
    return made, path


@pytest.fixture
def opened(browser, written):
    """The report in a window of a desk; nothing may go wrong in it."""
    browser.show_on(1280, 900)
    browser.open(written[1])
    yield browser
    assert browser.complaints == []
    assert browser.requests == [f'file://{written[1]}']


def box(browser, selector):
    """Left, top, width and height of an element in the window."""
    return browser.run(f"""(b => [b.left, b.top, b.width, b.height])(
        document.querySelector('{selector}').getBoundingClientRect())""")


def middle(browser, selector):
    left, top, width, height = box(browser, selector)
    return left + width / 2, top + height / 2


def text_of(name):
    return f"document.getElementById('{name}').innerText"


def mark(picture, point, *, inside='#grid'):
    return f'{inside} [data-shot="{picture}"] [data-point="{point}"] .ring'


def said(browser):
    """What the tip says; '' where there is none."""
    return browser.run(f'{TIP}.hidden ? "" : {TIP}.innerText.replace(/\\s+/g, " ")')


def settle(browser):
    """Two frames later, and patches drawn."""
    browser.run('new Promise(r => requestAnimationFrame(() => setTimeout(r, 100)))')


def set_control(browser, name, value):
    browser.run(f"""(() => {{ const c = document.querySelector('{name}');
        if (c.type === 'checkbox') c.checked = {str(value is True).lower()};
        else c.value = '{value}';
        c.dispatchEvent(new Event('change', {{bubbles: true}})); }})()""")


@pytest.mark.parametrize(('width', 'phone'), [(1280, False), (390, True)])
def test_points_are_where_the_keypoints_are(opened, written, width, phone):
    opened.show_on(width, 900, phone=phone)
    for number in (0, 5):
        shot = written[0].shots[number]
        left, top, wide, high = box(opened, f'#grid [data-shot="{number}"] img')
        for k in range(12):
            x, y = shot['points'][4 * k : 4 * k + 2]
            wanted = left + (x + 0.5) / 96 * wide, top + (y + 0.5) / 48 * high
            assert math.dist(middle(opened, mark(number, k)), wanted) < 1


def test_a_point_lies_on_its_own_pixel_of_the_picture(opened):
    """Seen as a person sees it: a white pixel inside the ring, dark ones around."""
    x, y = middle(opened, mark(0, 3))
    opened.run("document.querySelector('#grid svg').style.opacity = 0")
    pixels = np.asarray(Image.open(io.BytesIO(opened.screenshot())).convert('L'))
    around = pixels[int(y) - 6 : int(y) + 7, int(x) - 6 : int(x) + 7]
    assert around[6, 6] > 120 and np.median(around) < 50


def test_pointing_at_a_point_shows_landmark_score_and_patch(opened, written):
    opened.move(*middle(opened, mark(1, 4)))
    settle(opened)
    x, y, label, score = written[0].shots[1]['points'][16:20]
    assert said(opened) == f'Landmark {label} score {score:.2f}, at ({x:.1f}, {y:.1f})'
    pen = f"{TIP}.querySelector('canvas').getContext('2d')"
    column = opened.run(f'[...{pen}.getImageData(96, 60, 1, 37).data]')[::4]
    inside, outside = column[-1], column[0]
    assert inside > 120 and outside < 60
    opened.move(5, 5)
    assert said(opened) == ''


def test_the_keyboard_reaches_everything(opened):
    reached = set()
    for _ in range(14):
        opened.press('Tab')
        focused = 'document.activeElement'
        reached.add(opened.run(f'{focused}.name || {focused}.className'))
    assert {'split', 'order', 'all', 'truth', 'frame'} <= reached
    opened.run("document.querySelector('#grid .frame').focus()")
    for key, label in (('ArrowRight', 0), ('ArrowRight', 1), ('ArrowLeft', 0),
                       ('ArrowUp', 11), ('ArrowDown', 0)):  # fmt: skip
        opened.press(key)
        assert said(opened).startswith(f'Landmark {label} score')
    opened.press('Escape')
    assert said(opened) == ''


def test_a_picture_is_enlarged_and_left_by_the_keyboard(opened):
    is_open = "document.getElementById('viewer').open"
    opened.run("document.querySelectorAll('#grid .frame')[2].focus()")
    opened.press('Enter')
    assert opened.run(is_open)
    assert 'test 2 (test)' in opened.run(text_of('viewer-title'))
    opened.run("document.getElementById('next').click()")
    assert 'test 3 (test)' in opened.run(text_of('viewer-title'))
    opened.press('ArrowRight')
    assert said(opened).startswith('Landmark 0')
    opened.press('Escape')  # The point first, then the picture.
    assert said(opened) == '' and opened.run(is_open)
    opened.press('Escape')
    assert not opened.run(is_open)
    assert opened.run('document.activeElement.dataset.shot') == '2'


def test_orders_and_splits(opened, written):
    shots = written[0].shots
    assert opened.run(ORDER) == list(range(24))
    set_control(opened, '[name=order]', 'error')
    error = lambda shot: np.inf if shot['error'] is None else shot['error']
    errors = [error(shots[number]) for number in opened.run(ORDER)]
    assert errors == sorted(map(error, shots), reverse=True)[:24]
    assert errors[0] == np.inf
    told = "document.querySelector('#grid small').textContent"
    assert opened.run(told).endswith('error infinite')
    set_control(opened, '[name=order]', 'confidence')
    sure = [np.mean(shot['points'][3:48:4]) for shot in shots]
    found = [sure[number] for number in opened.run(ORDER)]
    np.testing.assert_allclose(found, sorted(sure)[:24])
    set_control(opened, '[name=split]', 'train')
    assert min(opened.run(ORDER)) >= COUNT
    assert opened.run(text_of('count')) == '24 of 30 pictures'
    opened.run("document.getElementById('more').click()")
    assert len(opened.run(ORDER)) == 30


def test_a_dozen_points_at_first_and_all_on_demand(opened):
    count = "document.querySelector('#grid .frame').querySelectorAll('.point').length"
    crosses = "document.querySelectorAll('#grid path.truth').length"
    assert opened.run(count) == 12 and opened.run(crosses) == 24
    set_control(opened, '[name=all]', True)
    assert opened.run(count) == POINTS
    set_control(opened, '[name=truth]', False)
    assert opened.run(crosses) == 0


def test_a_sheet_a_landmark_from_the_surest_patch_to_the_least(opened):
    tiles = """[...document.querySelectorAll('#sheet-rows .row:nth-child(3) .tile')]
        .map(t => +t.innerText)"""
    names = "[...document.querySelectorAll('.sheet-name')].map(b => b.innerText)"
    assert opened.run(names) == [f'Landmark {k}' for k in range(POINTS)]
    found = opened.run(tiles)
    assert len(found) == 12 and found == sorted(found, reverse=True)
    set_control(opened, '#sheet-order', 'least')
    assert opened.run(tiles) == sorted(found)
    opened.run("document.querySelectorAll('.sheet-name')[2].click()")
    assert len(opened.run(tiles)) == 2 * COUNT
    opened.run("document.querySelector('#sheet-rows .row:last-child .tile').click()")
    assert said(opened).startswith('Landmark 14')  # Not of the dozen: all are drawn.


@pytest.mark.parametrize('dark', [False, True])
def test_light_and_dark_on_a_phone(opened, dark):
    opened.show_on(390, 844, dark=dark, phone=True)
    settle(opened)
    assert opened.run('document.documentElement.scrollWidth') == 390
    pixels = np.asarray(Image.open(io.BytesIO(opened.screenshot())).convert('L'))
    assert (np.median(pixels) < 60) == dark
    opened.run("document.querySelector('#grid').scrollIntoView()")
    settle(opened)
    x, y = middle(opened, mark(0, 1))
    opened.tap(x, y)
    settle(opened)
    assert said(opened).startswith('Landmark 1')
    left, top, width, height = box(opened, '#tip')
    assert left >= 0 and left + width <= 390 and top >= 0 and top + height <= 844
    assert not (left < x < left + width and top < y < top + height)


def test_five_thousand_pictures_stay_under_30_mb(browser, tmp_path):
    """Noise is the worst there is; the page is there, and turns to the worst, in seconds."""
    seen = pictures.see(50, 12)
    noise = np.random.default_rng(0).integers(0, 255, (50, 256, 256, 3), np.uint8)
    images = noise[:, ::4, ::4].repeat(4, 1).repeat(4, 2) // 2 + noise // 8
    most = album.limits(images, 5000)
    few = album.shots(seen._replace(images=images), np.arange(50.0), most)
    made = album.fitted('landmark', 'some error, %', few * 100)
    path = tmp_path / 'large.html'
    path.write_text(page.render('Large', '', made, []))
    assert len(made.shots) + made.left_out == 5000 and len(made.shots) > 2500
    assert 10e6 < path.stat().st_size < 30e6
    browser.open(path)
    set_control(browser, '[name=order]', 'error')
    assert browser.run("document.querySelectorAll('#grid .frame').length") == 24
    assert browser.complaints == []
