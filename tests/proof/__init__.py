"""The figures at full size: ``make proof`` runs every section and writes results/proof.md.

``sections`` lists what is measured, by the sweeps of tests/sweeps and by the scripts beside it; ``provenance`` says
which sources made a figure, so that a change of them makes it run again.
"""
