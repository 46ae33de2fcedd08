"""One call as one HTTP/3 stream, without I/O: bytes and headers in, exchange events out.

`exchange` is the port that edge and daemon program against; `headers` maps a call's head, answer and status to header
sections; `messages` frames and unframes messages; `stream` is the state table of one call on either side; `flow` counts
what may be buffered.
"""
