"""Some of the table's translations train as their sources; all are what the table says: exact, or nothing exact.

All of them are run by ``make proof``, section translate.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from translations.table import rows

from xframe.translate.names import resolved, signatures
from xframe.translate.translating import translate

TESTS = Path(__file__).parents[2]
SOME = "|".join(  # of a kind each, without optax, which need not be installed
    (
        r"Adam\(1e-3, weight_decay=0.004\) > torch",
        r"torch.optim.RMSprop\(params, lr=1e-2, momentum=0.9, weight_decay=0.01\) > keras",
        r"schedules.CosineDecay\(0.01.* > torch",
        r"torch.nn.CrossEntropyLoss\(weight.*sum'\) > keras",
    )
)


def test_the_table_says_of_each_whether_it_is_exact():
    assert len({row.source for row in rows()}) >= 120
    for row in rows():
        translation = row.translation()
        assert bool(translation) == row.exact, row
        assert row.exact or translation.reasons
        translation.to_dict()


def test_what_is_written_is_read_again_as_the_same():
    again = 0
    for row in rows():
        written = row.translation().written if row.exact else None
        if (
            written is None
            or "lambda" in written.code
            or not written.code.startswith(("keras.o", "torch.optim.", "optax."))
        ):
            continue
        if written.setup or "xframe" in written.code or "inject" in written.code or ".scale_by" in written.code:
            continue
        if "(optimizer, " in written.code or "optax.trace" in written.code:
            continue
        assert translate(written.code, "torch" if row.target != "torch" else "keras").meaning
        again += 1
    assert again > 40


@pytest.mark.costly
@pytest.mark.thorough
def test_a_sample_trains_as_its_source_and_signatures_are_as_installed():
    command = [sys.executable, "-m", "translations.proving", SOME, "signatures"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "4 expressions, 4 translations, 0 refusals, signatures of keras, torch" in done.stdout


def test_each_signature_is_read_and_found_by_its_name():
    assert len(signatures()) > 200
    assert all(resolved(name) == name for name in signatures())
    adam = signatures()["keras.optimizers.Adam"]
    assert [each.name for each in adam][:3] == ["learning_rate", "beta_1", "beta_2"]
    assert {each.name: each.default for each in adam}["clipnorm"] is None
    assert [each.name for each in signatures()["torch.optim.Adam"] if each.required] == ["params"]
