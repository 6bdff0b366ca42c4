"""What a loop costs per step, and how fast a plan is. Measures side by side, in turns; states ratios.

Its files:

    loops.py       bare loops, recorded ones and trainers'; worker.py is the child process of one
    throughput.py  whole recorded runs of a plan in each framework
"""
