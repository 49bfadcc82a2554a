"""A tiny release of Human3.6M, as its owners lay it out."""

import numpy as np

SUBJECTS = ('S1', 'S5', 'S6', 'S7', 'S8', 'S9', 'S11')
FRAMES = 101


def joints():
    """`[1, frames, 64]`: joint j at (10 + j % 8 + frame / 100, 8 + j // 2)."""
    j = np.arange(32)
    xy = np.stack([10.0 + j % 8, 8.0 + j // 2], axis=-1)
    move = np.arange(FRAMES)[:, None, None] * np.array([0.01, 0])
    return (xy + move).reshape(1, FRAMES, 64).astype(np.float32)


def h36m(root, videos=False):
    """Two videos a subject, one of an activity that is not used.

    Args:
        videos: with pictures and silhouettes of one subject, S1; else folders alone.
    """
    for subject in SUBJECTS:
        base = root / subject
        for name in ('Walking 1.54138969', 'WalkDog.54138969'):
            write_cdf(base / f'MyPoseFeatures/D2_Positions/{name}.cdf', joints())
        (base / 'Videos').mkdir()
        (base / 'MySegmentsMat/ground_truth_bs').mkdir(parents=True)
    if videos:
        base, name = root / 'S1', 'Walking 1.54138969'
        write_video(base / f'Videos/{name}.mp4')
        write_silhouettes(base / f'MySegmentsMat/ground_truth_bs/{name}.mat')


def write_cdf(path, values):
    import cdflib

    path.parent.mkdir(parents=True, exist_ok=True)
    file = cdflib.cdfwrite.CDF(str(path), cdf_spec={'Compressed': 0}, delete=True)
    kind = {
        'Variable': 'Pose', 'Data_Type': file.CDF_REAL4, 'Num_Elements': 1,
        'Rec_Vary': True, 'Var_Type': 'zVariable', 'Dim_Sizes': list(values.shape[1:]),
    }  # fmt: skip
    file.write_var(kind, var_data=values)
    file.close()


def write_video(path, frames=FRAMES, size=(48, 32)):
    """Frame i is of the grey 2 i."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 25, size)
    for i in range(frames):
        writer.write(np.full((size[1], size[0], 3), 2 * i, np.uint8))
    writer.release()


def write_silhouettes(path, frames=FRAMES, size=(48, 32)):
    """A cell of `[W, H]` (as MATLAB's columns are read): the left half is the person."""
    import h5py

    mask = np.zeros(size, np.uint8)
    mask[: size[0] // 2] = 1
    with h5py.File(path, 'w') as file:
        cell = [
            file.create_dataset(f'#refs#/{i}', data=mask).ref for i in range(frames)
        ]
        file.create_dataset(
            'Masks', data=np.array(cell, object)[:, None], dtype=h5py.ref_dtype
        )
