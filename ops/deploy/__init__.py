"""What an operator deploys stands beside this package, as files: `ops/compose`, `ops/containers`, `ops/helm`.

Here is the code that keeps these files true: `metrics_used` finds the metrics that the dashboard and the alert rules
ask for, and those that `ops/metrics.md` promises.
"""
