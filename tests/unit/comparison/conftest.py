"""Runs that follow a plan."""

import string

import pytest
from following import PLAN, N


@pytest.fixture
def follow(runs):
    """Records a run that follows the plan but for what ``change`` does to its rows. They are called a, b, c, …"""
    names = iter(string.ascii_letters)

    def follow(change=None, **options):
        rows = runs.rows(PLAN, N)
        if change is not None:
            change(rows)
        return runs(rows, next(names), **options)

    return follow
