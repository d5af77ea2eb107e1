"""llama.cpp's side of text.py, spoken to as bench_text is. usage: rival_llama.py MODEL DTYPE GGUF (written by it)

With equal positions on all axes, multimodal rotary embedding is the plain one: the text tower is a Qwen2 model.
"""
import json
import sys
import time

import gguf
import llama_cpp as llama
import numpy
from safetensors.numpy import load_file

NAMES = {"input_layernorm.weight": "attn_norm.weight", "post_attention_layernorm.weight": "ffn_norm.weight",
         "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down"}
OUTER = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
TYPES = {"fp32": gguf.GGMLQuantizationType.F32, "bf16": gguf.GGMLQuantizationType.BF16}
MICRO_BATCH = 512


def gguf_name(name):
    if not name.startswith("model.layers."):
        return OUTER.get(name)
    layer, rest = name.removeprefix("model.layers.").split(".", 1)
    for ours, theirs in NAMES.items():
        rest = rest.replace(ours, theirs)
    return f"blk.{layer}.{rest}"


def convert(model_path, dtype, path):
    with open(f"{model_path}/config.json") as file:
        config = json.load(file)["text_config"]
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(config["vocab_size"])
    for name, values in load_file(f"{model_path}/model.safetensors").items():
        if gguf_name(name) is None:
            continue
        kind = TYPES[dtype if values.ndim > 1 else "fp32"]
        writer.add_tensor(gguf_name(name), gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Sequences:
    """`count` sequences side by side, each with a cache of its own."""

    def __init__(self, model, dtype, count, cells):
        options = llama.llama_context_default_params()
        options.n_ctx = options.n_batch = count * cells
        options.n_ubatch, options.n_seq_max = MICRO_BATCH, count
        options.n_threads = options.n_threads_batch = 1
        options.type_k = options.type_v = TYPES[dtype].value
        self.count = count
        self.context = llama.llama_init_from_model(model, options)
        self.batch = llama.llama_batch_init(count * cells, 0, 1)
        self.tokens = numpy.random.default_rng(1).integers(0, 256, count * cells).tolist()

    def decode(self, rows):
        """rows: (sequence, position, whether its logits are wanted)"""
        for i, (sequence, position, wanted) in enumerate(rows):
            self.batch.token[i], self.batch.pos[i] = self.tokens[i], position
            self.batch.n_seq_id[i], self.batch.seq_id[i][0], self.batch.logits[i] = 1, sequence, wanted
        self.batch.n_tokens = len(rows)
        if llama.llama_decode(self.context, self.batch) != 0:
            sys.exit("llama_decode failed")
        llama.llama_get_logits(self.context)  # waits

    def prompts(self, tokens):
        llama.llama_memory_clear(llama.llama_get_memory(self.context), True)
        self.decode([(s, j, j == tokens - 1) for s in range(self.count) for j in range(tokens)])

    def steps(self, first, steps):
        for position in range(first, first + steps):
            self.decode([(s, position, True) for s in range(self.count)])


def seconds(run, *arguments):
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


def main(model_path, dtype, path):
    convert(model_path, dtype, path)
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
    known = {}
    for line in sys.stdin:
        command, *numbers = line.split()
        count, tokens, steps = [1, int(numbers[0]), 0] if command == "prefill" else map(int, numbers)
        if (count, tokens) not in known:
            known[count, tokens] = Sequences(model, dtype, count, -(-(tokens + steps) // 256) * 256)
        sequences = known[count, tokens]
        spent = seconds(sequences.prompts, tokens)
        print(spent if command == "prefill" else seconds(sequences.steps, tokens, steps), flush=True)


main(*sys.argv[1:])
