"""What the experiments share; see ``experiments``."""
