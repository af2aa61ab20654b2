"""`python -m foalnet`."""

from foalnet.cli import main

main()
