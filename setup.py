"""Packages are found, not listed; `configs/` is installed as `kpdiscovery.configs`."""

from setuptools import find_packages, setup

library = find_packages(
    include=['kpdiscovery', 'kpdiscovery.*', 'pallas_kernels', 'pallas_kernels.*']
)
configs = find_packages(include=['configs', 'configs.*'])
setup(packages=[*library, *(f'kpdiscovery.{name}' for name in configs)])
