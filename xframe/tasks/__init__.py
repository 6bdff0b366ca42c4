"""The built-in tasks, one module each; ``xframe.task.BUILT_IN`` names them."""
