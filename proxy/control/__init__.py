"""The control service of a running proxy or daemon, and its client (`proto/headway/v1/control.proto`).

`service` answers, for whatever stands behind the port `Controlled` (`proxy.compose.control` puts a proxy or a daemon
there); `server` listens on an address of its own; `client` asks; `targets` finds out whom, `text` shows the answers.
"""
