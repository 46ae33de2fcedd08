"""Experiment `congestion`: what the congestion controllers make of the emulated link.

Four parts, each with cells of its own: `goodput` of one bulk transfer against loss, `realtime` requests under a flood
of bulk ones, `fairness` between flows that share the link, and `changes` of the link under way.

`scenario` reads the YAML file, `grid` makes the cells of it. `experiment` visits them, `stations` runs one: the
programs in the namespaces are headway's proxy and daemon, `client` and `backend`. `arrivals` and `wire` make series of
what the receivers and the link's log saw, `figures` the numbers, `summary`, `tables` and `plots` show them.
"""
