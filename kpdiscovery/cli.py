"""`kpd COMMAND ...`: finds the command and turns a user's mistake into one line."""

from __future__ import annotations

import argparse
import importlib
import itertools
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kpdiscovery import __version__, paths, version
from kpdiscovery.config import expand, nearest
from kpdiscovery.types import UserError

SETTINGS = (
    'Any setting of a config: --config.KEY=VALUE, for example --config.data.size=64.\n'
    'A wrong KEY is answered with those there are.'
)
COMMANDS = {
    'train': 'train a method, or resume where the workdir stands',
    'evaluate': 'measure a trained method on held-out pictures',
    'predict': 'find keypoints in pictures of your own',
    'export': 'write a trained model as a program that runs without this library',
    'fit': 'learn the landmarks you want from a few annotated pictures',
    'select': 'train several numbers of keypoints and seeds, and choose without labels',
    'compare': 'print figures of several runs side by side',
    'report': 'write one HTML file about a workdir',
    'weights': 'list pretrained networks, and get them',
    'features': "extract a network's features of pictures once, for the others",
    'compile': 'say whether training fits TPUs that are not here',
    'bench': 'time what the library is fast at',
    'convert': "read a data set's official files into the library's own form",
    'doctor': 'say what the machine, a config or its data lack',
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `kpd`; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ('-h', '--help'):
        print('usage: kpd COMMAND [--help] ...   or kpd --version\n')
        print('\n'.join(f'  {name:10} {text}' for name, text in COMMANDS.items()))
        return 0 if argv else 2
    name, *rest = argv
    if name == '--version':
        print(' '.join(filter(None, ['kpdiscovery', __version__, version.commit()])))
        return 0
    if name not in COMMANDS:
        print(f'kpd: no command {name!r}{nearest(name, COMMANDS)}', file=sys.stderr)
        return 2
    # Imported there, where a Ctrl-C meanwhile is caught.
    return run(
        lambda rest: importlib.import_module(f'kpdiscovery.{name}').main(rest), rest
    )


def run(
    command: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None
) -> int:
    """Call a command; its UserErrors become one line and exit code 2."""
    logging.basicConfig(
        level=logging.WARNING, format='%(levelname)s: %(message)s', force=True
    )
    logging.getLogger('absl').setLevel(logging.CRITICAL)  # It raises what it tells.
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    try:
        return command(sys.argv[1:] if argv is None else argv) or 0
    except UserError as error:
        print(f'kpd: {error}', file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in paths.OUTSIDE:
            raise
        print(f'kpd: {error.filename}: {error.strerror}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('kpd: stopped', file=sys.stderr)
        return 128 + signal.SIGINT


def check_writable(folder: str | os.PathLike) -> None:
    """Before minutes of work: whether files can be written there, or it can be made.

    Raises:
        UserError: a file is in its place, or there is no permission.
    """
    path = paths.folder(folder)
    if paths.is_remote(path):
        return  # Who may write to a bucket is known once something is written.
    there = next(place for place in (path, *path.parents) if place.exists())
    if not there.is_dir():
        raise UserError(f'{there} is a file, wanted a folder')
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f'{there}: there is no permission to write there')


def check_local(folder: str | os.PathLike) -> None:
    """Of what is written file by file.

    Raises:
        UserError: it is in a bucket.
    """
    if paths.is_remote(folder):
        raise UserError(
            f'--out={folder}: this command writes to this machine only; give a folder here '
            'and copy it to the bucket'
        )


class Parser(argparse.ArgumentParser):
    """argparse whose errors are UserErrors, and that collects --config.KEY=VALUE.

    Args:
        settings: --help says how those are given.
    """

    def __init__(self, prog: str, *, settings: bool = True, **options: Any):
        plain = argparse.RawDescriptionHelpFormatter  # Lists keep their lines.
        super().__init__(prog, formatter_class=plain, **options)
        if settings:
            self.epilog = '\n\n'.join(filter(None, [SETTINGS, self.epilog]))

    def error(self, message: str):
        raise UserError(f'{message} (see --help)')

    def parse(self, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Arguments, and the config overrides among them."""
        words, prefix = list(_joined(argv)), '--config.'
        rest = [word for word in words if not word.startswith(prefix)]
        overrides = [word for word in words if word.startswith(prefix)]
        self._expect_options(rest)
        args = self.parse_args(rest)
        for name, value in vars(args).items():
            setattr(args, name, expand(value))
        return args, [word.removeprefix(prefix) for word in overrides]

    def _expect_options(self, words: Sequence[str]) -> None:
        """Before argparse misses what a misspelt one would have given."""
        if any(isinstance(one, argparse._SubParsersAction) for one in self._actions):
            return  # Theirs are others, which argparse finds out.
        known = [name for action in self._actions for name in action.option_strings]
        for word in itertools.takewhile(lambda word: word != '--', words):
            name = word.partition('=')[0]
            if name[:2] == '--' and not any(one.startswith(name) for one in known):
                self.error(f'no option {name}{nearest(name, known)}')


def _joined(argv: Sequence[str]) -> Iterator[str]:
    """The words, with '--config.KEY VALUE' as one with '='."""
    words = list(argv)
    while words:
        word = words.pop(0)
        bare = word.startswith('--config.') and '=' not in word
        if bare and words and not words[0].startswith('--'):
            word = f'{word}={words.pop(0)}'
        yield word
