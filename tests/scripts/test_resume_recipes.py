"""The loops of docs/howto/resume_scripts.md go on to the bit, in a new process, from wherever they stopped."""

import os

import forks
import pytest
from pages import ROOT, blocks

import xframe

SCRIPTS = {block.file: block.text for block in blocks(ROOT / "docs" / "howto" / "resume_scripts.md", "python")}
FOR = '    for parameter, gradient in zip(model.parameters(), saved["window"], strict=True):\n'
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def processes():
    with forks.running() as run:
        yield run


@pytest.fixture(scope="module")
def trained(processes, tmp_path_factory):
    """The trace of a script that ran in a process of its own; of what ran already, kept."""
    folder, kept = tmp_path_factory.mktemp("loops"), {}

    def train(name, trace, *options, without=""):
        work = folder / name.removesuffix(".py")
        if (name, trace) not in kept:
            assert without in SCRIPTS[name]
            work.mkdir(exist_ok=True)
            (work / name).write_text(f"import os\n\nos.chdir({str(work)!r})\n" + SCRIPTS[name].replace(without, "", 1))
            done = processes(str(work / name), trace, *options, environment={**os.environ, **QUIET})
            assert done.returncode == 0, done.stderr
            kept[name, trace] = xframe.Trace.open(work / trace)
        return kept[name, trace]

    return train


def resumed(trained, name, trace="b.trace", without=""):
    """A whole run, and one that was stopped within a window, a pass and patience, and went on."""
    whole = trained(name, "whole.trace")
    trained(name, "a.trace", "--stop-after", "41")
    return whole, trained(name, trace, "--resume", "a.trace", without=without)


@pytest.mark.costly
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_loop_by_hand_goes_on_to_the_bit(name, trained):
    whole, joined = resumed(trained, name)
    comparison = xframe.compare(whole, joined)
    assert comparison, comparison
    assert comparison.to_dict()["numbers"] == "identical"
    assert joined.certificate == whole.certificate
    assert whole.counts().num_steps == 44  # it stopped early


FORGOTTEN = {
    "window": (FOR + "        parameter.grad = gradient\n", "identical"),
    "random": ('    torch.set_rng_state(saved["random"])\n', "identical"),
    "generator": (", generator=torch.Generator()", "identical"),
    "optimizer": ('    optimizer.load_state_dict(saved["optimizer"])\n', "identical"),
    "sampler": ('    sampler.load_state_dict(saved["sampler"])\n', "different"),
    "patience": ('    run.update(saved["run"])\n', "different"),
}


@pytest.mark.sweep(fewest=2)
@pytest.mark.parametrize("name", FORGOTTEN)
def test_what_is_forgotten_is_seen(name, trained):
    text, structure = FORGOTTEN[name]
    comparison = xframe.compare(*resumed(trained, "torch_loop.py", f"{name}.trace", text))
    assert not comparison
    assert comparison.to_dict()["structure"] == structure
