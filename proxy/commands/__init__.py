"""The commands that end by themselves: `certs` and `check`. `proxy.compose` builds those that run on."""
