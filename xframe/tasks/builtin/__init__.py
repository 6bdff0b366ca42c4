"""The built-in tasks, one module each; ``xframe.tasks.lookup.BUILT_IN`` names all but ``bench_mlp``."""
