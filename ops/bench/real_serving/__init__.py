"""`python -m ops.bench real_serving`: a simulated workload through the real daemon to real Triton models.

`scenario` is the YAML file. `experiment` visits its cells: a workload, a policy and a seed. `cell` runs one: a fresh
proxy and daemon in front of a Triton that emulates the candidates (`ops.emulated`), and the `client`, a process that
sends the requests (`requests`) of the seed's trace when the simulator would have them at the daemon. `figures` makes
the simulator's kind of result of what came back, and sets it beside the simulator's own; `tables` shows both.

The network's delay is in the client: a request leaves it when the trace has it arrive at the daemon, with a deadline
that is shorter by both ways, and an answer counts as delivered its way back later. So each request meets exactly the
delay that it meets in the simulator, whatever the workload's network is; what a link does besides is for other
experiments.
"""
