"""`kpd train`: from a config to a trained workdir; run again to resume."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kpdiscovery import cli, config, data, preparation
from kpdiscovery.training import loop


def main(argv: Sequence[str]) -> int:
    parser = cli.Parser('kpd train', description=__doc__)
    parser.add_argument(
        '--config', required=True, help='METHOD/DATA[:VARIANT] or FILE.py'
    )
    parser.add_argument('--workdir', required=True, help='where everything is written')
    parser.add_argument(
        '--data', help="the config's files, or a folder of your pictures"
    )
    parser.add_argument(
        '--max_seconds', type=float, help='stop cleanly after this long'
    )
    args, overrides = parser.parse(argv)
    settings = config.load(args.config, overrides)
    cli.check_writable(args.workdir)
    if args.data:
        data.point_to(settings.data, args.data)
    prepared = preparation.prepare(settings, args.workdir)
    outcome = loop.train(
        prepared.method,
        settings.to_dict(),
        prepared.source,
        args.workdir,
        max_seconds=args.max_seconds,
    )
    if outcome.finished:
        print(f'trained {outcome.step} steps: kpd evaluate --workdir={args.workdir}')
    else:
        print(f'{outcome.reason} at step {outcome.step}; the same command resumes')
    return 0


if __name__ == '__main__':
    sys.exit(cli.run(main))
