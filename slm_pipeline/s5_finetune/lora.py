"""A LoRA layer in few passes over memory, the same function and gradients as peft's y = x Wᵀ + s (x Aᵀ) Bᵀ (Hu et al. 2021, section 4.1).

In fp32 it is one product, y = x (W + s B A)ᵀ; the sum is rank-r work, made anew in each pass and not kept. In bf16 that sum would lose the
small second term, so the thin products stay, in bf16 and added in place; peft makes them in fp32, with temporaries as wide as the layer,
which on a processor costs a third of the training time.
"""

from types import MethodType

from slm_pipeline.s5_finetune.passive_torch import torch


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


class _AddedLinear(torch.autograd.Function):
    """The same in bf16: x (..., in) and W in bf16, A and B in fp32, as are their gradients."""

    @staticmethod
    def forward(ctx, x, weight, bias, a, b, scale):
        rows, a, b = x.reshape(-1, x.shape[-1]), a.to(x.dtype), b.to(x.dtype)
        inner = (rows @ a.T).mul_(scale)
        ctx.save_for_backward(rows, weight, a, b, inner)
        ctx.scale, ctx.shape = scale, x.shape
        return torch.nn.functional.linear(rows, weight, bias).addmm_(inner, b.T).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx, grad):
        rows, weight, a, b, inner = ctx.saved_tensors
        out = grad.reshape(-1, grad.shape[-1])
        through = (out @ b).mul_(ctx.scale)
        grad_x = (out @ weight).addmm_(through, a).view(ctx.shape) if ctx.needs_input_grad[0] else None
        return grad_x, None, None, (through.T @ rows).float(), (out.T @ inner).float(), None


def fuse_lora(model) -> None:
    """Let the LoRA layers of a peft model compute themselves that way."""
    from peft.tuners.lora.layer import Linear

    for layer in model.modules():
        if isinstance(layer, Linear) and not layer.lora_variant:  # DoRA scales what W + s B A gives
            layer.forward = MethodType(_forward, layer)


def _forward(self, x: torch.Tensor) -> torch.Tensor:
    if self.disable_adapters:
        return self.base_layer(x)
    (adapter,) = self.active_adapters
    base, a, b = self.base_layer, self.lora_A[adapter].weight, self.lora_B[adapter].weight
    product = _MergedLinear if base.weight.dtype == torch.float32 else _AddedLinear
    return product.apply(x, base.weight, base.bias, a, b, self.scaling[adapter])
