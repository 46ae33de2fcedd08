"""Test tools that ship: users write schedulers, policies and clients with them.

`calls` joins exchange calls in memory; `clock` stands still until told, `virtual_loop` jumps to the next timer;
`memory_link` joins connections over a link in virtual time, `memory_port` and `memory_tunnel` whole tunnels; `stack`
runs proxy and daemon in front of a backend.
"""
