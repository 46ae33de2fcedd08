"""Which policy is worth how much on which workload: the engine of `headway evaluate`.

`contestant` turns the names that a user gives into policies with their knobs; the knobs of baselines come from a file
(`tuned`), made by trying them on validation seeds (`tune`). Each workload, contestant and seed is a job of its own
(`jobs`), and so is each bound (`bounds`); `parallel` spreads jobs over processes. `summary` has the means, intervals
and paired differences, `document` the results file, `tables` and `plots` what a person looks at. `named` finds
workloads, those small enough for the exact bound among them, in `workloads/`.
"""
