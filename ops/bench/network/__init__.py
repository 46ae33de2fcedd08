"""Experiment `network`: what order, congestion control and transport do to deadlines on a thin, lossy link.

`scenario` reads the YAML file, `grid` makes the cells of it, `requests` draws the arrivals, the same for every cell of
a seed. `experiment` visits the cells: over the emulated link with real processes (`emulated`; the programs in the
namespaces are `client` and `backend`), or over the link in memory in virtual time (`memory`). `metrics` and `summary`
do the arithmetic, `tables` and `plots` show it.
"""
