"""Builds a proxy (`frontend`) or a daemon (`backend`) out of its parts; `run` runs either until it is told to stop."""
