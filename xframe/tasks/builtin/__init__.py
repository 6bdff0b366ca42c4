"""The built-in tasks, one module each; ``xframe.tasks.task.BUILT_IN`` names them."""
