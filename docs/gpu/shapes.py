"""Model folders for vLLM's `--load-format dummy`: real sizes, random weights, no download.

usage: shapes.py OUT_DIR {reason2|cosmos3} {tiny|8b}

The computation is that of the real checkpoint; the answers are noise, and the tokenizer knows 600
words, so that a timestamp takes more tokens than with the real one. Needs tokenizers and
transformers.
"""

import json
import sys
from pathlib import Path
from typing import Any

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<think>",
    "</think>",
)
CHAT = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.content is string %}{{- message.content }}{%- else %}"
    "{%- for part in message.content %}"
    "{%- if part.type == 'video' or 'video' in part %}"
    "<|vision_start|><|video_pad|><|vision_end|>"
    "{%- elif part.type == 'image' or 'image' in part %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{%- elif 'text' in part %}{{- part.text }}{%- endif %}{%- endfor %}{%- endif %}"
    "{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
WORDS = "yes no the person is wearing a hard hat confirmed rejected 0 1 2 3 4 5 6 7 8 9 seconds"

# field: tiny, 8b
TEXT = {
    "hidden_size": (128, 4096),
    "intermediate_size": (256, 12288),
    "num_hidden_layers": (2, 36),
    "num_attention_heads": (4, 32),
    "num_key_value_heads": (2, 8),
    "head_dim": (32, 128),
    "vocab_size": (640, 151936),
    "max_position_embeddings": (32768, 262144),
}
VISION = {
    "depth": (4, 27),
    "hidden_size": (64, 1152),
    "intermediate_size": (128, 4304),
    "num_heads": (4, 16),
    "out_hidden_size": (128, 4096),
    "deepstack_visual_indexes": ([1, 2], [8, 16, 24]),
}
MROPE = ([8, 4, 4], [24, 20, 20])


def write_tokenizer(folder: Path) -> dict[str, int]:
    """Train the small tokenizer into `folder` and return the ids of the special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([WORDS] * 10, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL[1:8]),
        model_max_length=262_144,
    )
    fast.chat_template = CHAT
    fast.save_pretrained(folder)
    return {name: fast.convert_tokens_to_ids(name) for name in SPECIAL}


def config(family: str, size: str, ids: dict[str, int]) -> dict[str, Any]:
    """Return `config.json` of the Cosmos Reason 2 or the Cosmos 3 Nano Reasoner architecture."""
    column = ("tiny", "8b").index(size)
    dtype = ("float32", "bfloat16")[column]
    reason2 = family == "reason2"
    rope = {"rope_type": "default", "mrope_interleaved": True, "mrope_section": MROPE[column]}
    text = {
        **{name: values[column] for name, values in TEXT.items()},
        "model_type": "qwen3_vl_text",
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "attention_bias": False,
        "rope_theta": 5e6,
        "rope_scaling": rope,
        "dtype": dtype,
        "eos_token_id": ids["<|im_end|>"],
        "bos_token_id": ids["<|endoftext|>"],
    }
    vision = {
        **{name: values[column] for name, values in VISION.items()},
        "model_type": "qwen3_vl" if reason2 else "qwen3_vl_vision",
        "in_channels": 3,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "num_position_embeddings": 2304,
        "hidden_act": "gelu_pytorch_tanh",
        "initializer_range": 0.02,
    }
    architecture = "Qwen3VL" if reason2 else "Cosmos3"
    return {
        "architectures": [f"{architecture}ForConditionalGeneration"],
        "model_type": "qwen3_vl" if reason2 else "cosmos3_omni",
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "tie_word_embeddings": False,
        "text_config": text,
        "vision_config": vision,
        "dtype": dtype,
    }


def write_model(folder: Path, family: str, size: str) -> None:
    """Write tokenizer, processor and configuration of one family in one size."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = write_tokenizer(folder)
    shared = {
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "processor_class": "Qwen3VLProcessor",
    }
    image = {"longest_edge": 16_777_216, "shortest_edge": 65_536}
    video = {"longest_edge": 25_165_824, "shortest_edge": 4_096}
    files = {
        "config.json": config(family, size, ids),
        "preprocessor_config.json": {
            **shared,
            "size": image,
            "image_processor_type": "Qwen2VLImageProcessorFast",
        },
        "video_preprocessor_config.json": {
            **shared,
            "size": video,
            "video_processor_type": "Qwen3VLVideoProcessor",
        },
        "generation_config.json": {"eos_token_id": ids["<|im_end|>"], "temperature": 0.7},
    }
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value, indent=1))


if __name__ == "__main__":
    match sys.argv[1:]:
        case [folder, ("reason2" | "cosmos3") as family, ("tiny" | "8b") as size]:
            write_model(Path(folder), family, size)
        case _:
            sys.exit(__doc__)
