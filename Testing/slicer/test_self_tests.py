"""The modules' own tests, which also run inside Slicer, pass on the real scene."""

from __future__ import annotations

import unittest

import pytest


@pytest.mark.parametrize("fixture", ["needle_localization", "needle_tip_us"])
def test_the_self_test_passes(fixture, request):
    module = request.getfixturevalue(fixture)
    test_class = getattr(module.script, f"{module.name}Test")
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(test_class)
    result = unittest.TestResult()
    suite.run(result)
    problems = [details for _test, details in result.errors + result.failures]
    assert not problems, "\n".join(problems)
    assert result.testsRun > 0


def test_slicers_own_test_button_runs_them_too(needle_tip_us):
    import slicer

    slicer.selfTests["NeedleTipUS"](msec=0)
