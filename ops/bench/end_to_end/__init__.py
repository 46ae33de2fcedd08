"""Experiment `end_to_end`: the poster's two tables on the real stack, over the emulated link, before a real Triton.

`scenario` reads the YAML file, `grid` makes the cells of it: a row is a policy, a column what carries the calls.
`requests` has what is sent and what came back, the same arrivals for every cell of a workload and seed. `experiment`
visits the cells; `stations` starts what one cell needs (link, `backend` with Triton on emulated models, daemon, proxy,
`client`) and runs it; `simulated` has the simulator's figure for the same cell, with the link's part scheduled by
`transit`. `decisions` and `samples` are what the timeline of a changing link needs. `metrics` and `summary` do the
arithmetic, `tables`, `plots` and `timeline` show it. README.md has method and limits.
"""
