"""How fast a connection sends.

- `delivery_rate`: what each acknowledgement says of the rate at which the path delivers.
- `filters`: the largest of the last samples.
- `bbr_model` and `bbr`: a model of the path from those samples, and the congestion controller that follows it.
- `pacer`: the gaps between packets.
- `reordering`: how late a packet may come before it counts as lost.
- `recovery`: aioquic's loss recovery with all of the above in it; the seam.
"""
