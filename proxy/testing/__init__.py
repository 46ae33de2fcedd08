"""Test tools that ship: users write schedulers, policies and clients with them.

`calls` joins exchange calls in memory, `clock` stands still until told, `stack` runs proxy and daemon in front of a backend.
"""
