"""True double-precision Llama.

transformers keeps RMSNorm, the attention softmax and the RoPE tables in float32 even when the model is float64. That
would leave 1e-7 of noise in every "float64" expectation. These patches keep the dtype when it is float64 and leave
every other dtype to the original code, so one process can run both and measure how far float32 is from double.
"""

import math

import torch
from transformers.models.llama import modeling_llama as llama

_norm = llama.LlamaRMSNorm.forward
_rotary = llama.LlamaRotaryEmbedding.forward
_eager = llama.eager_attention_forward


def inverse_frequencies(config):
    """inv_freq[head_dim / 2] in double, plain RoPE or Llama 3 scaling."""
    rope = getattr(config, "rope_parameters", None)
    if rope is None:  # transformers 4
        rope = dict(config.rope_scaling or {"rope_type": "default"}, rope_theta=config.rope_theta)
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    inv = 1.0 / rope["rope_theta"] ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    if rope["rope_type"] == "default":
        return inv
    assert rope["rope_type"] == "llama3", rope
    old = rope["original_max_position_embeddings"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    wavelength = 2 * math.pi / inv
    smooth = (old / wavelength - low) / (high - low)
    mixed = (1 - smooth) * inv / rope["factor"] + smooth * inv
    out = torch.where(wavelength > old / low, inv / rope["factor"], inv)
    middle = (wavelength <= old / low) & (wavelength >= old / high)
    return torch.where(middle, mixed, out)


def _norm64(self, x):
    if x.dtype != torch.float64:
        return _norm(self, x)
    variance = x.pow(2).mean(-1, keepdim=True)
    return self.weight * (x * torch.rsqrt(variance + self.variance_epsilon))


def _rotary64(self, x, position_ids):
    if x.dtype != torch.float64:
        return _rotary(self, x, position_ids)
    angle = position_ids[..., None].double() * inverse_frequencies(self.config)
    angle = torch.cat((angle, angle), dim=-1)
    return angle.cos(), angle.sin()


def _eager64(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    if query.dtype != torch.float64:
        return _eager(module, query, key, value, attention_mask, scaling, dropout, **kwargs)
    key = llama.repeat_kv(key, module.num_key_value_groups)
    value = llama.repeat_kv(value, module.num_key_value_groups)
    score = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        score = score + attention_mask[:, :, :, : key.shape[-2]]
    weight = torch.softmax(score, dim=-1)
    return (weight @ value).transpose(1, 2).contiguous(), weight


def install():
    llama.LlamaRMSNorm.forward = _norm64
    llama.LlamaRotaryEmbedding.forward = _rotary64
    llama.eager_attention_forward = _eager64
