"""Measurements that need a GPU: `profile_llm`, how long language models of `llama`'s shapes take on it."""
