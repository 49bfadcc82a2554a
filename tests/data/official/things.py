"""Tiny releases of the sets of bodies and things, as their owners lay them out."""

import numpy as np
from scipy import io

from tests.data.official.faces import picture, text


def cub(root):
    """Two birds that show one eye each, and an albatross; masks of two of them."""
    base = root / 'CUB_200_2011'
    classes = ('001.Black_footed_Albatross', '002.Indigo_Bunting')
    names = [f'{classes[0]}/A_1.jpg', *(f'{classes[1]}/B_{i}.jpg' for i in (1, 2, 3))]
    for name in names:
        picture(base / 'images' / name)
    for name in names:
        picture(root / 'segmentations' / name.replace('.jpg', '.png'), color=(0, 0, 0))
    numbered = lambda values: [f'{i} {value}' for i, value in enumerate(values, 1)]
    text(base / 'images.txt', *numbered(names))
    text(base / 'classes.txt', *numbered(classes))
    text(base / 'image_class_labels.txt', *numbered([1, 2, 2, 2]))
    text(base / 'train_test_split.txt', *numbered([1, 1, 0, 0]))
    text(base / 'bounding_boxes.txt', *numbered(['2.0 3.0 12.0 10.0'] * 4))
    text(base / 'parts/parts.txt', *numbered(['back', *['left eye'] * 14]))
    seen = {1: (7, 11), 2: (7,), 3: (11,), 4: (7, 11)}  # Left eye 7, right eye 11.
    rows = [
        f'{i} {part} {3.0 + part} 5.0 1' if part in (*seen[i], 1)
        else f'{i} {part} 0.0 0.0 0'
        for i in range(1, 5) for part in range(1, 16)
    ]  # fmt: skip
    text(base / 'parts/part_locs.txt', *rows)


def cars(root):
    make = lambda name, label: {
        'bbox_x1': 3, 'bbox_y1': 4, 'bbox_x2': 15, 'bbox_y2': 20, 'class': label,
        'fname': name,
    }  # fmt: skip
    (root / 'devkit').mkdir(parents=True)
    for split, place in (('train', 'devkit'), ('test', '.')):
        names = [f'0000{i}.jpg' for i in (1, 2, 3)]
        for name in names:
            picture(root / f'cars_{split}' / name)
        cars = np.array([make(n, 1 + i % 2) for i, n in enumerate(names)], object)
        end = '_withlabels' if split == 'test' else ''
        path = root / place / f'cars_{split}_annos{end}.mat'
        io.savemat(path, {'annotations': structs(cars)})
    names = np.array(['AM General Hummer', 'Audi TT'], object)
    io.savemat(root / 'devkit/cars_meta.mat', {'class_names': names})


def structs(rows):
    """A MATLAB struct array of dicts of the same fields."""
    fields = list(rows[0])
    made = np.empty((1, len(rows)), [(name, object) for name in fields])
    for i, row in enumerate(rows):
        made[0, i] = tuple(row[name] for name in fields)
    return made


def flowers(root):
    for number in range(1, 7):
        picture(root / f'jpg/image_{number:05}.jpg')
        picture(root / f'segmim/segmim_{number:05}.jpg', color=(0, 0, 254))
    io.savemat(root / 'imagelabels.mat', {'labels': [[2, 1, 2, 1, 2, 1]]})
    parts = {'trnid': [[1, 2]], 'valid': [[3]], 'tstid': [[4, 5, 6]]}
    io.savemat(root / 'setid.mat', parts)


def tiny_imagenet(root):
    base = root / 'tiny-imagenet-200'
    wnids = ('n01443537', 'n01629819')
    text(base / 'wnids.txt', *wnids)
    text(base / 'words.txt', 'n01443537\tgoldfish, Carassius auratus', 'n9\tother')
    for wnid in wnids:
        names = [f'{wnid}_{i}.JPEG' for i in (0, 1)]
        for name in names:
            picture(base / 'train' / wnid / 'images' / name, (64, 64))
        text(base / f'train/{wnid}/{wnid}_boxes.txt',
             *(f'{name}\t0\t10\t63\t58' for name in names))  # fmt: skip
    for i in (0, 1):
        picture(base / f'val/images/val_{i}.JPEG', (64, 64))
    text(base / 'val/val_annotations.txt',
         *(f'val_{i}.JPEG\t{wnids[i]}\t0\t32\t44\t62' for i in (0, 1)))  # fmt: skip


def penn_action(root):
    """Six videos of tennis_serve, two frames each, and one of another action."""
    base = root / 'Penn_Action'
    for number in range(1, 8):
        for frame in (1, 2):
            picture(base / f'frames/{number:04}/{frame:06}.jpg')
        action = 'bowl' if number == 2 else 'tennis_serve'
        x = np.tile(np.arange(3, 16), (2, 1))
        seen = np.ones((2, 13))
        seen[:, 3] = 0
        notes = {
            'action': action, 'x': x, 'y': x + 2.0, 'visibility': seen,
            'bbox': [[3, 4, 15, 20]] * 2, 'nframes': 2, 'train': 1,
        }  # fmt: skip
        (base / 'labels').mkdir(exist_ok=True)
        io.savemat(base / f'labels/{number:04}.mat', notes)


def bbc_pose(root):
    """Video 1 to train on, of 21 frames; 2 to test on, where two frames are annotated."""
    locs = np.tile(np.arange(4, 11.0), (2, 1))[..., None]
    videos = [
        {'type': 'training', 'frames': [[1, 11]], 'locs': locs.repeat(2, 2)},
        {'type': 'testing', 'frames': [[2, 5]], 'locs': locs.repeat(2, 2)},
    ]
    for number, count in ((1, 21), (2, 6)):
        for frame in range(1, count + 1):
            picture(root / f'bbcpose/{number}/{frame}.jpg')
    io.savemat(root / 'bbcpose/bbcpose.mat', {'bbcpose': structs(videos)})


def deepfashion(root):
    """Items 1 to 600, a whole body each, and one picture of a front."""
    names = [f'img/WOMEN/Dresses/id_{i:08}/01_4_full.jpg' for i in range(1, 505)]
    for name in names[::8]:
        picture(root / 'Img' / name)
    names = names[::8]
    others = ['img/WOMEN/Dresses/id_00000001/01_1_front.jpg']
    rows = [f'{name} {name.split("/")[3]} train' for name in (*names, *others)]
    text(root / 'Eval/list_eval_partition.txt', str(len(rows)), 'image_name ...', *rows)
    rows = [f'{name} 3 1 3 4 15 20' for name in names[:-1]]
    text(root / 'Anno/list_bbox_inshop.txt', str(len(rows)), 'image_name ...', *rows)


def pascal3d(root, category='car'):
    base, place = root / 'PASCAL3D+_release1.1', f'{category}_imagenet'
    anchor = lambda x, y: {'location': [[x, y]], 'status': 1}
    objects = [
        {'class': category, 'bbox': [3.0, 4.0, 15.0, 20.0],
         'anchors': {'wheel': anchor(5, 6), 'door': {'location': [], 'status': 2}}},
        {'class': 'person', 'bbox': [1.0, 1.0, 9.0, 9.0], 'anchors': []},
    ]  # fmt: skip
    for name, split in (('n1_1', 'train'), ('n1_2', 'train'), ('n1_3', 'val')):
        picture(base / f'Images/{place}/{name}.JPEG')
        (base / f'Annotations/{place}').mkdir(parents=True, exist_ok=True)
        shown = objects if name == 'n1_2' else objects[:1]
        notes = {'record': {'filename': f'{name}.JPEG', 'objects': structs(shown)}}
        io.savemat(base / f'Annotations/{place}/{name}.mat', notes)
        path = base / f'Image_sets/{place}_{split}.txt'
        text(path, *(path.read_text().split() if path.exists() else ()), name)
