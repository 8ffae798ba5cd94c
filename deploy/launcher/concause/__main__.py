"""`python -m concause` is `concause`."""

from concause.cli import main

main()
