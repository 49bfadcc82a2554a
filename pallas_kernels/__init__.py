"""Kernels of the hot loops, a package an operation.

`reference` is the specification and what runs where there is no kernel, `mosaic_tpu` the
kernel for TPUs, `api` the function to call: it checks, chooses by the platform that the
program is compiled for, and owns the gradient. `shapes` are those of the methods and odd
ones, which tests and `bench` share. Users call `kpdiscovery.ops` and `kpdiscovery.losses`.
"""
