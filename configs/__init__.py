"""Configs, one file per method and data set; `kpd train --config=METHOD/DATA[:VARIANT]`."""
