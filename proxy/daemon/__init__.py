"""The model side: from a call that came through the tunnel to a Triton, and back.

The way of a call, station by station: `dispatch` takes it, holds it to its deadline and finds the story for its path.
Calls that no route claims pass to the default backend by bytes. `infer` tells the story of a routed `ModelInfer`,
`infer_stream` that of `ModelStreamInfer`; both ask `selection` for a candidate, which asks the route's policy, with
what `load` knows of each candidate, `way_back` of the tunnel and `sequences` of each sequence; `guard` stands before a
policy that is learned, and `decision_trace` tells the trace of its decision. Where the policy decides late, requests
wait in the route's `waiting_room`, and `late_queue` says what is to become of them. `catalogue` answers for route names
where clients ask about models, `health` and `shared_memory` for the calls that a daemon must not simply pass on.
`probe` looks after the backends meanwhile, and `triton_metrics` reads their queues.

`routes` has the settings and the table of names; `unary` makes one call with one message each way; `deadlines` ends
calls that are late; `triton` is the one module that knows Triton's messages.
"""
