"""Whatever a file says of itself, a command on it ends as commands end."""

from sweeps.forged import run
from sweeps.forgeries.files import FORGERIES

SIZE = 120


def test_random_forgeries(record_property):
    result = run(SIZE, seed=0)
    assert result.mismatches == []
    assert result.cases == SIZE
    kinds = {kind for kind, _ in result.outcomes}
    assert kinds >= FORGERIES.keys()
    refused = sum(count for (_, end), count in result.outcomes.items() if end in ("2", "4") or end.endswith("Error"))
    assert SIZE > refused > 0.5 * SIZE
    record_property("sample", f"{SIZE} commands on files of {len(kinds)} kinds, {refused} refused")
