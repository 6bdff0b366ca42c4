"""No damage to a trace goes unnoticed, or is taken for a difference between frameworks."""

from sweeps.damage import DAMAGES, OF_FORM, run

SIZE = 500


def test_random_damages(record_property):
    result = run(SIZE, seed=0)
    assert result.mismatches == []
    assert result.cases == SIZE
    kinds = {f"{form}: {name}" for form, more in OF_FORM.items() for name in DAMAGES | more}
    assert {kind for kind, _ in result.outcomes} == kinds
    refused = sum(count for (_, outcome), count in result.outcomes.items() if outcome.endswith("Error"))
    assert refused > 0.7 * SIZE  # the others are cuts of a journal
    record_property("sample", f"{SIZE} damages of {len(kinds)} kinds, none unnoticed, {refused} refused")
