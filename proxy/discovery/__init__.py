"""Daemons that come and go: those behind a DNS name, such as a headless Service of Kubernetes.

`resolver` asks DNS, `members` decides what follows for the tunnels there are, `discovery` does it.
"""
