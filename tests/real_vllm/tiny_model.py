"""Write a model folder that vLLM serves with `--load-format dummy`: real protocol, random weights.

Usage: `python tiny_model.py FOLDER {reason2|cosmos3}`, with the Python that has vLLM.

`reason2` has the architecture of Cosmos-Reason2 (Qwen3VLForConditionalGeneration), `cosmos3` that
of the Cosmos3-Nano reasoner (Cosmos3ForConditionalGeneration). Both have two layers instead of 36
and a vocabulary of a few hundred tokens, so they start on two CPU cores in half a minute. Request
validation, media loading, processors, structured output and vision token counts are those of the
full models (patch 16, spatial merge 2, temporal patch 2); the answers are noise.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS: Final = (
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
CHAT_TEMPLATE: Final = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.content is string %}{{- message.content }}{%- else %}
{%- for part in message.content %}
{%- if part.type == 'image' or 'image_url' in part %}
{{- '<|vision_start|><|image_pad|><|vision_end|>' }}
{%- elif part.type == 'video' or 'video_url' in part %}
{{- '<|vision_start|><|video_pad|><|vision_end|>' }}
{%- elif 'text' in part %}{{- part.text }}{%- endif %}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""
TRAINING_TEXT: Final = "yes no the event is visible in the clip, answer with one word <1.5 seconds>"
HIDDEN_SIZE: Final = 128


@dataclass(frozen=True, slots=True)
class Family:
    """What distinguishes the two models in a config.json."""

    architecture: str
    model_type: str
    vision_model_type: str


FAMILIES: Final = {
    "reason2": Family("Qwen3VLForConditionalGeneration", "qwen3_vl", "qwen3_vl"),
    "cosmos3": Family("Cosmos3ForConditionalGeneration", "cosmos3_omni", "qwen3_vl_vision"),
}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-level tokenizer that knows the special tokens of both models."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([TRAINING_TEXT] * 10, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL_TOKENS[1:8]),
        model_max_length=32_768,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def build_config(family: Family, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Build config.json: the real architecture with small sizes."""
    token_id = tokenizer.convert_tokens_to_ids
    return {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "image_token_id": token_id("<|image_pad|>"),
        "video_token_id": token_id("<|video_pad|>"),
        "vision_start_token_id": token_id("<|vision_start|>"),
        "vision_end_token_id": token_id("<|vision_end|>"),
        "tie_word_embeddings": False,
        "dtype": "float32",
        "text_config": {
            "model_type": "qwen3_vl_text",
            "hidden_size": HIDDEN_SIZE,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "vocab_size": -(-len(tokenizer) // 64) * 64,
            "max_position_embeddings": 32_768,
            "rms_norm_eps": 1e-6,
            "hidden_act": "silu",
            "attention_bias": False,
            "rope_theta": 5e6,
            "rope_scaling": {
                "rope_type": "default",
                "mrope_interleaved": True,
                "mrope_section": [8, 4, 4],
            },
            "dtype": "float32",
            "bos_token_id": token_id("<|endoftext|>"),
            "eos_token_id": token_id("<|im_end|>"),
        },
        "vision_config": {
            "model_type": family.vision_model_type,
            "depth": 4,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "in_channels": 3,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": HIDDEN_SIZE,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [1, 2],
            "hidden_act": "gelu_pytorch_tanh",
            "initializer_range": 0.02,
        },
    }


def build_processors() -> dict[str, dict[str, Any]]:
    """Build the image and video processor files with the pixel limits of the real checkpoints."""
    shared = {
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "processor_class": "Qwen3VLProcessor",
    }
    return {
        "preprocessor_config.json": {
            **shared,
            "size": {"longest_edge": 16_777_216, "shortest_edge": 65_536},
            "image_processor_type": "Qwen2VLImageProcessorFast",
        },
        "video_preprocessor_config.json": {
            **shared,
            "size": {"longest_edge": 25_165_824, "shortest_edge": 4096},
            "video_processor_type": "Qwen3VLVideoProcessor",
        },
    }


def write_model(folder: Path, family: Family) -> None:
    """Write everything that vLLM reads besides weights."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    files = {
        **build_processors(),
        "config.json": build_config(family, tokenizer),
        "generation_config.json": {"eos_token_id": tokenizer.eos_token_id},
    }
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value, indent=1))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Write a tiny model folder for vLLM.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("family", choices=sorted(FAMILIES))
    arguments = parser.parse_args()
    write_model(arguments.folder, FAMILIES[arguments.family])


if __name__ == "__main__":
    main()
