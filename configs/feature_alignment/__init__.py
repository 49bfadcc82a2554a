"""Part discovery by feature alignment: a config a data set."""
