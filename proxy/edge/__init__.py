"""Where clients come in.

`server` listens for gRPC, `classify` reads class and deadline from metadata, `forward` is one call's story.
"""
