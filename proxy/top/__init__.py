"""`headway top`: proxies and daemons live on a terminal, as their control services tell it.

`ends` keeps what each process has said lately and works rates out of it; `panes` makes tables of that; `table` and
`screen` fit them into a width and a height. All of that is pure. `follow` keeps a watch on each process and comes back
to one that was away; `terminal` is the window; `live` puts them together, `snapshot` prints once.
"""
