"""Commands that list what there is: ``xframe adapters`` and ``xframe tasks``."""

from __future__ import annotations

import json as jsonlib

from xframe.cli.options import Json


def adapters(*, json: Json = False) -> int:
    """List the adapters, their loops, and whether their framework is installed here."""
    import importlib.util

    from xframe.running import registry

    found = [registry.load(name) for name in registry.available()]
    here = {a.name: all(importlib.util.find_spec(module) for module in a.requires) for a in found}
    if json:
        rows = [{"name": a.name, "loops": a.loops, "installed": here[a.name], "install": a.install} for a in found]
        print(jsonlib.dumps(rows))
        return 0
    width = max(len(", ".join(a.loops)) for a in found)
    for a in found:
        state = "installed" if here[a.name] else f"not installed: {a.install}"
        print(f"{a.name:12}  loops {', '.join(a.loops):{width}}  {state}")
    return 0


def tasks(*, json: Json = False) -> int:
    """List the built-in tasks."""
    from xframe.tasks.task import BUILT_IN, find_task

    found = [find_task(name) for name in BUILT_IN]
    if json:
        print(
            jsonlib.dumps([{"name": t.name, "num_samples": t.num_samples, "description": t.description} for t in found])
        )
        return 0
    for task in found:
        print(f"{task.name:{max(map(len, BUILT_IN))}}  {task.num_samples:>6,} samples  {task.description}")
    return 0
