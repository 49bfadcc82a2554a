"""The one loop: phases, sweeps, checkpoints and logs, on any number of devices."""
