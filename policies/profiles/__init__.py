"""Profiles that come with headway, and the computation of those that were not measured. README.md has the sources."""
