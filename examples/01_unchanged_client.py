"""A client of Triton as it always was: nothing in it knows of headway, only the address is the proxy's.

Start `headway demo --keep` in another terminal, then: python examples/01_unchanged_client.py
"""

import argparse

import numpy as np
import tritonclient.grpc as grpcclient

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("-u", "--url", default="localhost:8001", help="HOST:PORT (default: %(default)s)")
parser.add_argument("-m", "--model", default="llm", help="model to ask (default: %(default)s)")
parser.add_argument("--prompt", default="The for statement is used to ", help="text to continue")
parser.add_argument("--tokens", type=int, default=48, help="bytes to write, 192 at most (default: %(default)s)")
arguments = parser.parse_args()

prompt = grpcclient.InferInput("PROMPT", [1, 1], "BYTES")
prompt.set_data_from_numpy(np.array([[arguments.prompt.encode()]], dtype=np.object_))
tokens = grpcclient.InferInput("MAX_TOKENS", [1, 1], "INT32")
tokens.set_data_from_numpy(np.array([[arguments.tokens]], dtype=np.int32))

with grpcclient.InferenceServerClient(arguments.url) as client:
    print("server ready:", client.is_server_ready())
    metadata = client.get_model_metadata(arguments.model)
    print("inputs:", ", ".join(tensor.name for tensor in metadata.inputs))
    result = client.infer(arguments.model, [prompt, tokens], client_timeout=10.0)

print("model:", result.get_response().model_name)
print(arguments.prompt + result.as_numpy("COMPLETION")[0, 0].decode(errors="replace"))
