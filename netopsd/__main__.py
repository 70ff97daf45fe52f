"""`python -m netopsd` is the command `netopsd`."""

from netopsd.cli import main

main()
