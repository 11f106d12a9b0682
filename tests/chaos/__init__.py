"""Faults at random while a driver keeps account of every event that was accepted.

`tests/chaos/run.py` runs it by hand, `test_chaos.py` in CI; `docs/reliability.md` explains it.
"""
