"""What is live in the processes of a server, found by hand: the demo and the benchmarks hold RSS against it.

floor     the way to the figure
probe.c   preloaded into a server: trims and tells what malloc has handed out, when it is signalled
by_hand   loaded by each runtime: collects its garbage, when it is signalled
"""
