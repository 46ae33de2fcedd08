"""Which stream sends next: one discipline per file, all behind the port in `base`, chosen by name from `registry`."""
