"""Test tools that ship: users write schedulers, policies and clients with them.

`calls` joins exchange calls in memory; `clock` stands still until told, `virtual_loop` jumps to the next timer;
`memory_link` and `memory_port` join connections and whole tunnels over a link in virtual time; `stack` runs proxy and
daemon in front of a backend.
"""
