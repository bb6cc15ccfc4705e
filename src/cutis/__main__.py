"""`python -m cutis` is the command `cutis`."""

from cutis.cli import main

main()
