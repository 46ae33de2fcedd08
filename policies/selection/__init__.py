"""Which model answers a request: the policy port and the policies behind it.

`base` has the port (what a policy sees, what it answers); `static` and `heuristics` are policies; `registry` makes one
from its name in the configuration. `late` plans for requests that wait, with what `late_model` believes of each model;
`late_policy` is the policy that has them wait. A policy object belongs to one route: whatever it remembers is about
that route's requests alone.
"""
