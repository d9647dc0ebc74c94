"""The yardstick of `benchmarks.throughput --torch`: a `timm` network of the same size, trained in PyTorch.

Forward pass, 1x1 head, mean of squares, gradients and AdamW; channels-last, autocast, `torch.compile`. It has no
reconstruction, no pose losses and no ghost batch norm: less work than a training step of this project.
"""

from __future__ import annotations

import numpy as np
import timm
import torch


def measure(
    name: str, size: int, batch_size: int, precision: str, n_head_channels: int, *, images_per_second
) -> dict[str, float]:
    """images/s with the batch on the device, "fed" from host memory, and the peak of memory in GB (0 on a CPU).

    Args:
        images_per_second: function that times `run_step(i)`, a call whose result NumPy can wait for.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True  # XLA's default, too
    trunk = timm.create_model(name, pretrained=False, num_classes=0, global_pool="")
    channels = trunk(torch.zeros(1, 3, size, size)).shape[1]
    network = torch.nn.Sequential(trunk, torch.nn.Conv2d(channels, n_head_channels, 1))
    network = network.to(device, memory_format=torch.channels_last).train()
    compiled = torch.compile(network) if device.type == "cuda" else network
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=device.type == "cuda")
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16" and device.type == "cuda")
    autocast = torch.autocast(device.type, getattr(torch, precision), enabled=precision != "float32")
    rng = np.random.default_rng(0)
    on_host = [torch.from_numpy(rng.integers(0, 256, (batch_size, size, size, 3), np.uint8)) for _ in range(2)]
    if device.type == "cuda":
        on_host = [image.pin_memory() for image in on_host]
        torch.cuda.reset_peak_memory_stats()

    def to_device(image):
        image = image.to(device, non_blocking=True).permute(0, 3, 1, 2)  # bytes by channel last: no copy
        return image.to(torch.float32).mul_(1 / 255)

    def step(image):
        with autocast:
            loss = compiled(image).float().square().mean()
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    resident = to_device(on_host[0])
    return {
        "images/s": images_per_second(lambda i: _Result(step(resident))),
        "fed": images_per_second(lambda i: _Result(step(to_device(on_host[i % 2])))),
        "memory": torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else 0.0,
    }


class _Result:
    """A loss that is waited for when NumPy asks for its value."""

    def __init__(self, loss):
        self.loss = loss

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.loss.float().cpu().numpy(), dtype)
