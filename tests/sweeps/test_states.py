"""No file of a state that is damaged, forged or of a different training is read."""

from sweeps.states import DAMAGES, FORGERIES, MISFITS, run

SIZE = 500


def test_random_files_of_states(record_property):
    result = run(SIZE, seed=0)
    assert result.mismatches == []
    assert result.cases == sum(result.kinds.values()) == SIZE
    assert set(result.kinds) == {*DAMAGES, *FORGERIES, *MISFITS}
    record_property("sample", f"{SIZE} files of states of {len(result.kinds)} kinds, all refused")
