"""The loops people train with in PyTorch: a tutorial's over a DataLoader, and those of trainers, each in its own file.

Importing this imports no framework and no trainer.
"""
