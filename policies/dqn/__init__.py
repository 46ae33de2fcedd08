"""The learned selection policy: a double, duelling DQN with n-step returns.

Deciding needs no torch: `policy` (a `Policy`) reads a `checkpoint` and runs the network in numpy (`forward`). Training
needs it: `train` reads top to bottom; `domain` draws workloads, `rollout` plays them in several environments, `replay`
keeps what was seen, `learner` learns from it with `network`, `validation` says which parameters to keep. `ablation`
trains without one part at a time. README.md has settings, differences from the papers, and results.
"""
