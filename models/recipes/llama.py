"""A small Llama in plain torch with the tensor names of transformers' LlamaForCausalLM.

It does the same arithmetic with fewer kernel launches; `export.py` checks its logits against transformers.
"""
import torch
import torch.nn.functional as F
from torch import nn

ROPE_BASE = 10000.0
NORM_EPS = 1e-5


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads, self.size = c["heads"], c["kv_heads"], c["dim"] // c["heads"]
        self.q_proj = nn.Linear(c["dim"], self.heads * self.size, bias=False)
        self.k_proj = nn.Linear(c["dim"], self.kv_heads * self.size, bias=False)
        self.v_proj = nn.Linear(c["dim"], self.kv_heads * self.size, bias=False)
        self.o_proj = nn.Linear(self.heads * self.size, c["dim"], bias=False)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        q = rotate(self.q_proj(x).view(b, t, self.heads, self.size), cos, sin).transpose(1, 2)
        k = rotate(self.k_proj(x).view(b, t, self.kv_heads, self.size), cos, sin).transpose(1, 2)
        v = self.v_proj(x).view(b, t, self.kv_heads, self.size).transpose(1, 2)
        share = self.heads // self.kv_heads  # query heads that read one key/value head
        if share > 1:
            k = k[:, :, None].expand(-1, -1, share, -1, -1).reshape(b, self.heads, t, self.size)
            v = v[:, :, None].expand(-1, -1, share, -1, -1).reshape(b, self.heads, t, self.size)
        y = causal(q, k, v)
        return self.o_proj(y.transpose(1, 2).reshape(b, t, -1))


ROWS = 64  # of queries in one block


def causal(q, k, v):
    """Causal attention, [batch, heads, time, size] each. On a CPU by blocks of rows, without work beyond the diagonal's block; on a GPU torch's kernel."""
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    t, scale = q.shape[2], q.shape[-1] ** -0.5
    out = []
    for i in range(0, t, ROWS):
        end = min(i + ROWS, t)
        hidden = torch.ones(end - i, end, dtype=torch.bool, device=q.device).triu(i + 1)
        scores = (q[:, :, i:end] @ k[:, :, :end].transpose(-1, -2)).float() * scale
        out.append(scores.masked_fill(hidden, float("-inf")).softmax(-1).to(v.dtype) @ v[:, :, :end])
    return torch.cat(out, 2)


def rotate(x, cos, sin):
    """Rotary positions, halves layout: pairs are (i, i + size/2). x[b,t,h,size], cos and sin[t,1,size/2]."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class MLP(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = nn.Linear(c["dim"], c["hidden"], bias=False)
        self.up_proj = nn.Linear(c["dim"], c["hidden"], bias=False)
        self.down_proj = nn.Linear(c["hidden"], c["dim"], bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Norm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:], self.weight, NORM_EPS)


class Block(nn.Module):
    def __init__(self, c, dropout):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = Norm(c["dim"]), Norm(c["dim"])
        self.self_attn, self.mlp, self.drop = Attention(c), MLP(c), nn.Dropout(dropout)

    def forward(self, x, cos, sin):
        x = x + self.drop(self.self_attn(self.input_layernorm(x), cos, sin))
        return x + self.drop(self.mlp(self.post_attention_layernorm(x)))


class Llama(nn.Module):
    """c: vocab, dim, hidden, layers, heads, kv_heads, context. Input and output embeddings are tied."""

    def __init__(self, c, dropout=0.0):
        super().__init__()
        self.c = c
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(c["vocab"], c["dim"])
        self.model.layers = nn.ModuleList(Block(c, dropout) for _ in range(c["layers"]))
        self.model.norm = Norm(c["dim"])
        size = c["dim"] // c["heads"]
        angle = torch.outer(torch.arange(c["context"]).float(),
                            ROPE_BASE ** (-torch.arange(0, size, 2).float() / size))
        self.register_buffer("cos", angle.cos()[:, None], persistent=False)
        self.register_buffer("sin", angle.sin()[:, None], persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                scale = (2 * c["layers"]) ** -0.5 if name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0
                nn.init.normal_(p, 0.0, scale * (0.02 if "embed" in name else p.shape[1] ** -0.5 * 0.5))

    def forward(self, ids):
        t = ids.shape[1]
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, self.cos[:t], self.sin[:t])
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)

    def parameters_count(self):
        return sum(p.numel() for p in self.parameters())


def hf_config(c):
    """The same shape as a transformers config.json."""
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": c["vocab"],
            "hidden_size": c["dim"], "intermediate_size": c["hidden"], "num_hidden_layers": c["layers"],
            "num_attention_heads": c["heads"], "num_key_value_heads": c["kv_heads"],
            "head_dim": c["dim"] // c["heads"], "hidden_act": "silu", "max_position_embeddings": c["context"],
            "rms_norm_eps": NORM_EPS, "rope_theta": ROPE_BASE, "rope_scaling": None, "attention_bias": False,
            "mlp_bias": False, "attention_dropout": 0.0, "initializer_range": 0.02, "tie_word_embeddings": True,
            "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "pretraining_tp": 1, "use_cache": True}
