"""Run ``strapwatch`` as a module."""

from monitor.cli import main

main()
