"""Language models that only take time: a model repository for a real Triton, made from profiles.

    models = emulated_models(read_workload("stable"))           # or [EmulatedModel("llm-large", profile), …]
    write_repository(directory, models)
    async with TritonServer(directory) as triton: …             # proxy.demo.triton_server
    answer = await infer(infer_request("llm-large", size_bytes=8192, answer_bytes=512))

`repository` has `EmulatedModel`, `emulated_models` and `write_repository`; `requests` has `infer_request`. By hand:
`python -m ops.emulated --profiles FILE… --out DIR`, and `--serve` starts Triton on it (`__main__`).

Whole answers (a profile without tokens; `ModelInfer`): Triton's own dynamic batcher makes the batches, with the
profile's largest batch, preferred sizes, delay and instances, and a batch takes as long as the profile says for its
rows, with the profile's spread. Token streams (a profile with tokens; `ModelStreamInfer`): one process keeps a running
batch, reads the prompts of those that join and then writes a token of each every step, with the step's time for that
many sequences, as `policies.simulation.continuous` does. A cancelled stream leaves the batch.

All models of one kind have the same inputs and outputs, so they can be candidates of one route:

| tensor | whole answers | token streams |
| --- | --- | --- |
| `PROMPT`, INT32 [n] | – | the prompt, n tokens |
| `PAYLOAD`, UINT8 [n] | bytes that the request is long | the same, optional |
| `MAX_TOKENS`, INT32 [1] | – | messages of the answer |
| `ANSWER_BYTES`, INT32 [1], optional | length of `ANSWER`, 0 without | length of `ANSWER` in each message |
| `ANSWER`, UINT8 [n] (output) | zeros | zeros; the last message is marked as final, and none is empty |

`triton_model` is what runs inside Triton, `pacing` the times that it keeps, without Triton.
"""
