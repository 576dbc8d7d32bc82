"""`python -m neuropile` is the command line."""

from neuropile.cli import main

main()
