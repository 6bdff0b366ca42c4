"""Full disks, limits, lost folders, forks, threads and two writers: no flushed row is lost, and no file is damaged."""

from sweeps.disks import HARMS, run


def test_recording_under_a_harm(record_property):
    result = run(2 * len(HARMS), seed=0)
    assert result.mismatches == []
    assert result.cases == 2 * len(HARMS)
    assert result.flushed > 1000
    record_property("sample", f"{result.cases} recordings under a harm, {result.flushed:,} rows flushed in them")
