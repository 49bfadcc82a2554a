"""`python -m kpdiscovery.bench`, as `kpd bench`."""

import sys

from kpdiscovery import bench, cli

if __name__ == '__main__':
    sys.exit(cli.run(bench.main))
