"""Everything in headway that decides, and nothing that moves bytes.

`traffic` holds the shared vocabulary (traffic classes and deadlines); `scheduling` orders the streams that share a
link; `selection` picks the model that answers a request. No module here opens a socket or reads a clock: `now` is an
argument.
"""
