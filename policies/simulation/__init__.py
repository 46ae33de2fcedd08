"""What a selection policy is worth on a workload, in virtual time.

A workload (`workload`, read from YAML by `workload_file`) says how requests arrive (`arrivals`), of which classes, over
which network, and which candidates there are. `trace` draws one seed's requests from it. `simulator` takes them through
the daemon's decisions to the models (`batching`, `continuous`), with what a daemon can know in `policies.selection`,
whose `late` decides instead of a policy if asked to. `run` is one workload, one policy, one seed → `results`; `env` is
the same as a Gymnasium environment; `clairvoyant` is the bound of a trace. Needs numpy, `env` gymnasium too.
"""
