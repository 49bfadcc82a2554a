"""Tiny releases of the sets of heads, as their owners lay them out."""

import sqlite3
import struct

import numpy as np
from PIL import Image

FIVE = [(6, 8), (14, 8), (10, 12), (7, 16), (13, 16)]


def picture(path, size=(20, 24), color=(90, 120, 60)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size, color).save(path)


def text(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(lines) + '\n')


def celeba(root, count=12):
    """Two of MAFL's pictures to train on, 3 and 4; 5 and 6 to test on."""
    names = [f'{i:06}.jpg' for i in range(1, count + 1)]
    for folder in ('img_align_celeba', 'img_celeba'):
        for name in names:
            picture(root / 'Img' / folder / name)
    numbers = ' '.join(str(v) for point in FIVE for v in point)
    for name in ('list_landmarks_align_celeba', 'list_landmarks_celeba'):
        rows = [f'{picture}  {numbers}' for picture in names]
        text(root / f'Anno/{name}.txt', str(count), 'lefteye_x lefteye_y ...', *rows)
    # Of 20 x 24 pixels the first picture's box covers 26 %, the others' 38 %.
    boxes = ['2 3 10 12.5', *['1 2 12 15'] * (count - 1)]
    rows = [f'{name} {box}' for name, box in zip(names, boxes, strict=True)]
    text(root / 'Anno/list_bbox_celeba.txt', str(count), 'image_id x_1 y_1 ...', *rows)
    parts = [f'{name} {int(i >= 8) + int(i >= 10)}' for i, name in enumerate(names)]
    text(root / 'Eval/list_eval_partition.txt', *parts)
    text(root / 'MAFL/training.txt', *names[2:4])
    text(root / 'MAFL/testing.txt', *names[4:6])


def mtfl(root):
    base = root / 'MTFL'
    rest = ' '.join(str(v) for axis in (0, 1) for v in [p[axis] for p in FIVE])
    lists = {
        'training.txt': ('lfw_5590\\A_0001.jpg', 'net_7876\\0_0_0.jpg'),
        'testing.txt': ('AFLW\\0001-image20056.jpg',),
    }
    for name, pictures in lists.items():
        text(base / name, *(f' {one} {rest} 1 2 2 3' for one in pictures))
        for one in pictures:
            picture(base / one.replace('\\', '/'))


AFLW_TABLES = """
    CREATE TABLE Faces (face_id INTEGER, file_id TEXT, db_id TEXT);
    CREATE TABLE FaceImages (image_id INTEGER, db_id TEXT, file_id TEXT, filepath TEXT,
        bw INTEGER, width INTEGER, height INTEGER);
    CREATE TABLE FaceRect (face_id INTEGER, x INTEGER, y INTEGER, w INTEGER, h INTEGER,
        annot_type_id INTEGER);
    CREATE TABLE FeatureCoords (face_id INTEGER, feature_id INTEGER, x REAL, y REAL,
        annot_type_id INTEGER);
"""


def aflw(root):
    """Two faces in image00002, one in each of ten others; face 99 lacks its nose."""
    (root / 'data').mkdir(parents=True)
    db = sqlite3.connect(root / 'data/aflw.sqlite')
    db.executescript(AFLW_TABLES)
    faces = [(1, 2), (2, 2), (99, 3), *((10 + i, 4 + i) for i in range(9))]
    for face, image in faces:
        name = f'0/image{image:05}.jpg'
        picture(root / 'data/flickr' / name)
        db.execute('INSERT INTO Faces VALUES (?, ?, "flickr")', (face, f'{image}.jpg'))
        db.execute('INSERT INTO FaceRect VALUES (?, 2, 4, 14, 15, 1)', (face,))
        for feature, (x, y) in zip((8, 11, 15, 18, 20), FIVE, strict=True):
            if (face, feature) != (99, 15):
                row = (face, feature, x, y)
                db.execute('INSERT INTO FeatureCoords VALUES (?, ?, ?, ?, 1)', row)
    for image in sorted({image for _, image in faces}):
        row = (image, f'{image}.jpg', f'0/image{image:05}.jpg')
        db.execute('INSERT INTO FaceImages VALUES (?, "flickr", ?, ?, 0, 20, 24)', row)
    db.commit()
    db.close()


def t7(values):
    """Bytes of a Torch 7 file of a float tensor."""
    values = np.asarray(values, '<f4')
    name = lambda word: struct.pack('<i', len(word)) + word.encode()
    head = lambda number, word: struct.pack('<2i', 4, number) + name('V 1') + name(word)
    strides = [v // 4 for v in values.strides]
    sizes = struct.pack(f'<i{2 * values.ndim}q', values.ndim, *values.shape, *strides)
    storage = head(2, 'torch.FloatStorage') + struct.pack('<q', values.size)
    return head(1, 'torch.FloatTensor') + sizes + struct.pack('<q', 1) + storage + (
        values.tobytes()
    )  # fmt: skip


def landmarks68():
    return np.stack([3 + np.arange(68) % 15, 4 + np.arange(68) % 17], axis=-1)


def ls3d(root):
    places = ('300VW-3D/Trainset/a/0001', 'new_dataset/b', 'LS3D-W-balanced/new/c')
    for place, end in zip(places, ('.jpg', '.png', '.jpg'), strict=True):
        path = root / 'LS3D-W' / place
        picture(path.parent / (path.name + end))
        (path.parent / f'{path.name}.t7').write_bytes(t7(landmarks68()))


def cat_heads(root):
    nine = [(5, 6), (12, 6), (9, 12), (3, 4), (4, 1), (6, 4), (11, 4), (14, 1), (15, 4)]
    numbers = ' '.join(str(v) for point in nine for v in point)
    for i in range(8):
        path = root / f'CAT_0{i // 4}' / f'0000000{i}_000.jpg'
        picture(path)
        text(path.with_name(f'{path.name}.cat'), f'9 {numbers} ')
