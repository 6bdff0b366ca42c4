"""Commands that list what there is: ``xframe adapters`` and ``xframe tasks``."""

from __future__ import annotations

import json as jsonlib

from xframe.cli.options import Json


def adapters(*, json: Json = False) -> int:
    """List the adapters, their loops, and whether their framework is installed here."""
    import importlib.util

    from xframe.report import tables
    from xframe.running import registry

    every = [registry.load(name) for name in registry.available()]
    here = {a.name: all(importlib.util.find_spec(module) for module in a.requires) for a in every}
    if json:
        facts = [{"name": a.name, "loops": a.loops, "installed": here[a.name], "install": a.install} for a in every]
        print(jsonlib.dumps(facts))
        return 0
    states = {a.name: "installed" if here[a.name] else f"not installed: {a.install}" for a in every}
    rows = [[a.name, f"loops {', '.join(a.loops)}", states[a.name]] for a in every]
    print("\n".join(tables.plain(rows)))
    return 0


def tasks(*, json: Json = False) -> int:
    """List the built-in tasks."""
    from xframe.report import tables
    from xframe.tasks.lookup import BUILT_IN, find_task

    every = [find_task(name) for name in BUILT_IN]
    if json:
        facts = [{"name": t.name, "num_samples": t.num_samples, "description": t.description} for t in every]
        print(jsonlib.dumps(facts))
        return 0
    rows = [[task.name, f"{task.num_samples:,}", f"samples  {task.description}"] for task in every]
    print("\n".join(tables.plain(rows, right=(1,))))
    return 0
