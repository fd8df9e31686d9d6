"""The parts of a machine as one pass over many ticks uses them: equal numbers, less work.

Each is made once a pass from the part that holds the weights, and forgotten after it.
"""
