"""The command line: options and messages; every algorithm is elsewhere."""
