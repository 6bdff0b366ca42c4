"""The pytest plugin, in pytest sessions of its own."""

import os
import subprocess
import sys
import textwrap
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import xframe
from xframe.errors import TraceError, UsageError
from xframe.report.text import text
from xframe.testing import assert_matches_golden, assert_same_training, plugin

ROOT = Path(__file__).parents[3]
# Where xframe is installed as this tree is, pytest loads the plugin by itself, and refuses it twice.
LOADED = any(entry.value == "xframe.testing.plugin" for entry in entry_points(group="pytest11"))
LOAD = [] if LOADED else [plugin]
TASK = """
import numpy as np
import xframe

random = np.random.RandomState(1)
task = xframe.Task(
    name="mine",
    num_samples=20,
    load=lambda: (random.rand(20, 3), random.rand(20, 1)),
    initial_weights=lambda: {"dense_0/kernel": np.full((3, 1), 0.1), "dense_0/bias": np.zeros(1)},
    loss="mean_squared_error",
    optimizer=xframe.SGD(learning_rate=0.1),
    layers=(xframe.Dense(1),),
)
"""


@pytest.fixture
def traces(tmp_path):
    """Three runs of twelve steps: a, b alike, and c, which has one sample less from step 5 on."""

    def record(name, short=False, updates=True, cut=False):
        path = tmp_path / f"{name}.trace"
        with xframe.record(path, num_samples=24) as rec:
            for k in range(12):
                ids = [2 * k] if short and k >= 5 else [2 * k, 2 * k + 1]
                rec.step(ids=ids, updates=k + 1 if updates else None, loss=1 / (k + 1), lr=0.1, epoch=0)
            rec.flush()
            whole = path.read_bytes()
        if cut:
            path.write_bytes(whole)
        return path

    made = {"a": record("a"), "b": record("b"), "c": record("c", short=True)}
    return made | {"unjudged": record("unjudged", updates=False), "cut": record("cut", cut=True)}


@pytest.fixture
def session(pytester, traces):
    """Runs that test module in a pytest of its own, with the traces' paths as A, B, C …."""
    pytester.makeini("[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n")

    def run(code, *options):
        names = "".join(f"{name.upper()} = {str(path)!r}\n" for name, path in traces.items())
        pytester.makepyfile(test_it=f"import pytest\nimport xframe\n{names}\n{code}")
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *options, plugins=LOAD)

    return run


def test_pytest_finds_it():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"xframe": "xframe.testing.plugin"}


def test_loading_it_is_light(tmp_path):
    """A session with the plugin, collecting and running a test, has nothing heavy in it."""
    heavy = ("torch", "tensorflow", "keras", "jax", "numpy", "pandas", "pyarrow", "pydantic", "xxhash", "hypothesis")
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_modules(request):\n"
        "    assert request.config.pluginmanager.has_plugin('xframe') or 'xframe.testing.plugin' in sys.modules\n"
        f"    assert [name for name in {heavy!r} if name in sys.modules] == []\n"
    )
    # Other packages' plugins may import what they like.
    command = [sys.executable, "-W", "error", "-m", "pytest", "-p", "xframe.testing.plugin", "test_it.py"]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_contract_suite_is_still_there():
    import xframe.testing
    from xframe.testing import AdapterContract, contract, observe

    assert AdapterContract is contract.AdapterContract
    assert observe is contract.observe
    assert set(xframe.testing.__all__) <= set(dir(xframe.testing))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        xframe.testing.nothing  # noqa: B018


def test_same_training(traces):
    found = assert_same_training(traces["a"], xframe.Trace.open(traces["b"]))
    assert found
    assert found.verdict == "passed"
    assert assert_same_training(str(traces["a"]), traces["b"], order="coverage")


def test_different_training(traces):
    with pytest.raises(AssertionError) as caught:
        assert_same_training(traces["a"], traces["b"], traces["c"])
    assert str(caught.value) == text(xframe.compare(traces["a"], traces["b"], traces["c"]))
    assert "First difference: step 5 (5 earlier steps agree), check batch boundaries" in str(caught.value)
    assert str(caught.value).splitlines()[-1].startswith("FAILED")


@pytest.mark.parametrize("name", ["unjudged", "cut"])
def test_what_cannot_be_judged_fails(name, traces):
    with pytest.raises(
        AssertionError, match=r"^the runs could not be judged: nothing shows that they differ"
    ) as caught:
        assert_same_training(traces["a"], traces[name])
    assert str(caught.value).splitlines()[-1].startswith("INCONCLUSIVE")


def test_options_reach_the_comparison(traces):
    plan = xframe.TrainingPlan(batch_size=2, epochs=1, order="sequential")
    assert assert_same_training(traces["a"], traces["b"], plan=plan, num_samples=24)
    other = xframe.TrainingPlan(batch_size=3, epochs=1, order="sequential")
    with pytest.raises(AssertionError, match="== plan"):
        assert_same_training(traces["a"], traces["b"], plan=other, num_samples=24)
    for wrong in ({"rtol": -1, "atol": 0}, {"rtol": 1e-3}):
        with pytest.raises(UsageError, match="a tolerance"):
            assert_same_training(traces["a"], traces["b"], **wrong)


def test_nothing_to_compare(traces, tmp_path):
    with pytest.raises(UsageError, match="compared with itself"):
        assert_same_training(traces["a"], xframe.Trace.open(traces["a"]))
    with pytest.raises(TraceError, match="cannot read"):
        assert_same_training(traces["a"], tmp_path / "none.trace")


def test_a_failure_reads_like_the_terminals(session):
    result = session(
        "from xframe.testing import assert_same_training\n"
        "def test_same():\n    assert_same_training(A, B)\n"
        "def test_other():\n    assert_same_training(A, C)\n"
        "def test_damaged():\n    assert_same_training(A, __file__)\n"
    )
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "xframe: *",
            ">   *assert_same_training(A, C)",
            "E  *AssertionError: xframe *  a* vs c*",
            "E  *First difference: step 5 (5 earlier steps agree), check batch boundaries",
            "E  *FAILED  *",
            ">   *assert_same_training(A, __file__)",
            "E  *NotATraceError: not a trace: *",
        ]
    )
    result.stdout.no_fnmatch_line("*def compare*")
    result.stdout.no_fnmatch_line("*def _demand*")
    result.stdout.no_fnmatch_line("*__tracebackhide__*")


def test_a_bare_assert_shows_the_report(session):
    result = session(
        "def test_named():\n    comparison = xframe.compare(A, C)\n    assert comparison\n"
        "def test_unnamed():\n    assert xframe.compare(A, C)\n"
        "def test_passed():\n    comparison = xframe.compare(A, B)\n    assert comparison\n    assert 1 == 2\n"
    )
    result.assert_outcomes(failed=3)
    lines = result.stdout.str()
    assert lines.count("xframe comparison") == 2
    assert lines.count("First difference: step 5 (5 earlier steps agree), check batch boundaries") == 2


PLAN = "PLAN = xframe.TrainingPlan(batch_size=6, epochs=2)\n"


def test_verify(session, pytester, tmp_path):
    """The numpy adapter alone is compared with the plan; a task beside the tests is found by the worker too."""
    (pytester.path / "lib").mkdir()
    (pytester.path / "lib" / "mytask.py").write_text(TASK)
    result = session(
        f"{PLAN}import os, sys\nsys.path.insert(0, {str(pytester.path / 'lib')!r})\n"
        "def test_passes(xframe_verify, tmp_path):\n"
        "    before = dict(os.environ)\n"
        "    found = xframe_verify(PLAN, task='mytask:task', adapters='numpy', threads=1)\n"
        "    assert found.runs['numpy'].num_steps == 8\n"
        "    assert found.folder == tmp_path / 'xframe-1'\n"
        "    again = xframe_verify(PLAN, task='mytask:task', adapters='numpy', threads=1)\n"
        "    from xframe.testing import assert_same_training\n"
        "    assert_same_training(found.folder / 'numpy.trace', again.folder / 'numpy.trace', rtol=0, atol=0)\n"
        "    assert dict(os.environ) == before\n"
    )
    result.assert_outcomes(passed=1)


CALLS = """
class Called(Exception):
    pass

@pytest.fixture(autouse=True)
def calls(monkeypatch):
    import xframe.verification
    found = []
    compared = xframe.compare(A, B), xframe.compare(A, C)
    def verify(plan, **options):
        found.append(options)
        return compared[options["adapters"] == "c"]
    monkeypatch.setattr(xframe.verification, "verify", verify)
    return found
"""


def test_what_counts_first(session):
    result = session(
        PLAN + CALLS + "def test_options(xframe_verify, calls):\n"
        "    xframe_verify(PLAN)\n"
        "    assert (calls[-1]['adapters'], calls[-1]['device']) == ('numpy,torch', 'cpu')\n"
        "@pytest.mark.xframe(adapters=('torch',), task='ledger', precision='float64')\n"
        "class TestMarked:\n"
        "    def test_marker(self, xframe_verify, calls):\n"
        "        xframe_verify(PLAN)\n"
        "        assert (calls[-1]['adapters'], calls[-1]['task']) == (('torch',), 'ledger')\n"
        "        assert calls[-1]['precision'] == 'float64'\n"
        "    @pytest.mark.xframe(adapters='numpy')\n"
        "    def test_nearest_marker_and_call(self, xframe_verify, calls):\n"
        "        xframe_verify(PLAN)\n"
        "        assert (calls[-1]['adapters'], calls[-1]['task']) == ('numpy', 'ledger')\n"
        "        xframe_verify(PLAN, adapters=('a', 'b'), task='t:t')\n"
        "        assert (calls[-1]['adapters'], calls[-1]['task']) == (('a', 'b'), 't:t')\n"
        "        assert calls[-1]['out'].name == 'xframe-2'\n",
        "--xframe-adapters=numpy,torch",
        "--xframe-device=cpu",
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["xframe: *, adapters numpy,torch, device cpu"])


def test_ini_options(session, pytester):
    test = (
        PLAN + CALLS + "def test_it(xframe_verify, calls):\n"
        "    xframe_verify(PLAN)\n"
        "    assert (calls[-1]['adapters'], calls[-1]['device']) == ('torch', 'cuda')\n"
    )
    pytester.makeini("[pytest]\nxframe_adapters = torch\nxframe_device = cuda\n")
    session(test).assert_outcomes(passed=1)
    pytester.makeini("[pytest]\nxframe_device = tpu\n")
    result = session(test)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*ini option xframe_device: got 'tpu', expected one of auto, cpu, cuda"])


def test_a_run_that_differs_fails(session):
    result = session(PLAN + CALLS + "def test_it(xframe_verify):\n    xframe_verify(PLAN, adapters='c')\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([">   *xframe_verify(PLAN, adapters='c')", "E  *AssertionError: xframe *"])
    result.stdout.no_fnmatch_line("*xframe comparison*")
    result.stdout.no_fnmatch_line("*verification.verify*")


def test_adapters_that_are_not_there_fail(session):
    result = session(
        f"{PLAN}def test_it(xframe_verify):\n    xframe_verify(PLAN)\n"
        "def test_empty(xframe_verify):\n    xframe_verify(PLAN, adapters='')\n",
        "--xframe-adapters=nympu",
    )
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["E  *UsageError: unknown adapter: got 'nympu', expected one of *", "E  *UsageError: no adapter given: *"]
    )


def test_markers_that_are_wrong(session):
    result = session(
        "@pytest.mark.xframe('torch')\ndef test_args(xframe_verify): pass\n"
        "@pytest.mark.xframe(adapter='torch')\ndef test_name(xframe_verify): pass\n"
    )
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        ["E  *the marker xframe: got ('torch',), expected arguments by name: *", "E  *got 'adapter'*mean 'adapters'?"]
    )


def test_markers_are_registered(session):
    result = session("", "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.xframe(adapters=..., task=..., *", "@pytest.mark.cuda: *"])


@pytest.mark.parametrize(
    ("why", "options", "outcomes"),
    [
        ("", [], {"passed": 2}),
        ("no CUDA device here: none", [], {"passed": 1, "skipped": 1}),
        ("no CUDA device here: none", ["--xframe-require-cuda"], {"passed": 1, "errors": 1}),
    ],
)
def test_cuda(why, options, outcomes, session, monkeypatch):
    monkeypatch.setattr(plugin, "_no_cuda", lambda: why)
    result = session("@pytest.mark.cuda\ndef test_gpu(): pass\ndef test_cpu(): pass\n", "-rs", *options)
    result.assert_outcomes(**outcomes)
    if outcomes.get("skipped"):
        result.stdout.fnmatch_lines(["SKIPPED*no CUDA device here: none"])
    if outcomes.get("errors"):
        result.stdout.fnmatch_lines(["*--xframe-require-cuda, and no CUDA device here: none"])


def test_a_projects_own_cuda_marker_keeps_its_meaning(session, pytester, monkeypatch):
    monkeypatch.setattr(plugin, "_no_cuda", lambda: "no CUDA device here: none")
    pytester.makeini("[pytest]\naddopts = --strict-markers\nmarkers = cuda: mine\n")
    session("@pytest.mark.cuda\ndef test_gpu(): pass\n").assert_outcomes(passed=1)


def test_the_driver_is_asked(monkeypatch):
    """In a process of its own, and what it says is believed."""
    plugin._no_cuda.cache_clear()
    for returncode, stdout, why in [(1, "", "not installed"), (0, "0\n", "finds none"), (0, "2\n", "")]:
        done = subprocess.CompletedProcess([], returncode, stdout, "")
        monkeypatch.setattr(subprocess, "run", lambda *_, done=done, **__: done)
        found = plugin._no_cuda()
        assert why in found
        assert bool(found) == bool(why)
        plugin._no_cuda.cache_clear()


def test_goldens_are_made_and_renewed_for_a_reason(traces, tmp_path, monkeypatch):
    golden = tmp_path / "kept.golden"

    def held(name, why=None):
        """Whether a test of that run passes, and the golden afterwards."""
        with monkeypatch.context() as patch:
            if why is not None:
                patch.setenv("XFRAME_BLESS", why)
            try:
                passed = bool(assert_matches_golden(traces[name], golden))
            except (AssertionError, TraceError, UsageError):
                passed = False
        return passed, golden.read_text() if golden.exists() else None

    assert held("a") == (False, None)
    passed, made = held("a", "the first one")
    assert passed
    assert 'why = "the first one"' in made
    assert held("b") == held("b", "nothing changed") == (True, made)
    assert held("c") == (False, made)
    passed, renewed = held("c", "shorter batches")
    assert passed
    assert 'why = "shorter batches"' in renewed
    assert held("c", "") == (True, renewed)
    assert held("a", "") == held("cut", "why") == held("unjudged", "why") == (False, renewed)


def test_the_option_that_blesses_holds_for_its_session(session, traces):
    golden = traces["a"].with_name("kept.golden")
    code = f"""
    from xframe.testing import assert_matches_golden

    def test_golden():
        assert_matches_golden(A, {str(golden)!r})
    """
    session(textwrap.dedent(code), "--xframe-bless", "the first one").assert_outcomes(passed=1)
    assert 'why = "the first one"' in golden.read_text()
    assert "XFRAME_BLESS" not in os.environ
