"""Published layouts whose keys differ from those of the networks here: they are rewritten first."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

State = dict[str, Tensor]

# easy_dcase_task1 puts Microsoft's BEATs under ``encoder`` and its own head beside it.
_BEATS_FIRST, _BEATS_HEAD = "encoder.patch_embedding.weight", "classifier.linear."

# ASTForAudioClassification of transformers: names from release 5 on, and those of release 4 and of the files
# on its hub. Query, key and value are layers of their own.
_AST, _AST_FIRST = "audio_spectrogram_transformer.", "embeddings.distillation_token"
_AST_BLOCK = r"^(?:encoder\.layer|encoder\.layers|layers)\.(\d+)\."
_AST_NAMES = (
    (r"^embeddings\.cls_token$", r"v.cls_token"),
    (r"^embeddings\.distillation_token$", r"v.dist_token"),
    (r"^embeddings\.position_embeddings$", r"v.pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", r"v.patch_embed.proj."),
    (r"^layernorm\.", r"v.norm."),
    (_AST_BLOCK + r"layernorm_before\.", r"v.blocks.\1.norm1."),
    (_AST_BLOCK + r"layernorm_after\.", r"v.blocks.\1.norm2."),
    (_AST_BLOCK + r"attention\.(?:o_proj|output\.dense)\.", r"v.blocks.\1.attn.proj."),
    (_AST_BLOCK + r"(?:mlp\.fc1|intermediate\.dense)\.", r"v.blocks.\1.mlp.fc1."),
    (_AST_BLOCK + r"(?:mlp\.fc2|output\.dense)\.", r"v.blocks.\1.mlp.fc2."),
    *(
        (_AST_BLOCK + rf"attention\.(?:{part}_proj|attention\.{name})\.", rf"v.blocks.\1.attn.{part}.")
        for part, name in (("q", "query"), ("k", "key"), ("v", "value"))
    ),
)
_AST_HEAD = (("classifier.layernorm.", "mlp_head.0."), ("classifier.dense.", "mlp_head.1."))


def rewrite(tensors: Mapping[str, Tensor]) -> State:
    """A table of named tensors under the keys of the networks here; most tables stay as they are."""
    state = dict(tensors)
    for prefix in _prefixes(state, _BEATS_FIRST):
        if f"{prefix}{_BEATS_HEAD}weight" in state:
            state = {_of_beats(prefix, key): value for key, value in state.items()}
    for prefix in _prefixes(state, _AST + _AST_FIRST):
        state = _joined({_of_ast(prefix, key): value for key, value in state.items()})
    return state


def _prefixes(state: State, first: str) -> list[str]:
    """Whatever stands before a key."""
    return [key.removesuffix(first) for key in state if key == first or key.endswith(f".{first}")]


def _of_beats(prefix: str, key: str) -> str:
    for theirs, ours in ((f"{prefix}encoder.", prefix), (f"{prefix}{_BEATS_HEAD}", f"{prefix}predictor.")):
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    return key


def _of_ast(prefix: str, key: str) -> str:
    for theirs, ours in _AST_HEAD:
        if key.startswith(prefix + theirs):
            return prefix + ours + key.removeprefix(prefix + theirs)
    if not key.startswith(prefix + _AST):
        return key
    name = key.removeprefix(prefix + _AST)
    for pattern, ours in _AST_NAMES:
        if re.match(pattern, name):
            return prefix + re.sub(pattern, ours, name)
    return key


def _joined(state: State) -> State:
    """Query, key and value of every block as one layer."""
    joined: State = {}
    for key, value in state.items():
        if ".attn.q." in key:
            parts = [state.get(key.replace(".attn.q.", f".attn.{part}.")) for part in "qkv"]
            if all(part is not None for part in parts):
                joined[key.replace(".attn.q.", ".attn.qkv.")] = torch.cat([p for p in parts if p is not None])
        elif ".attn.k." not in key and ".attn.v." not in key:
            joined[key] = value
    return joined
