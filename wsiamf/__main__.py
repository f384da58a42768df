"""``python -m wsiamf``."""

from wsiamf.cli.main import main

main()
