"""The devices that models run on, by name."""

from __future__ import annotations

import torch

from howfar.errors import ConfigError


def find_device(name: str | torch.device) -> torch.device:
    """A device of this machine.

    Raises:
        ConfigError: There is no such device, or PyTorch cannot use it here.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, ImportError):  # NotImplementedError is a RuntimeError
        raise ConfigError(
            f"PyTorch cannot use the device {str(name)!r} here; choose from {', '.join(known_devices())}"
        ) from None
    return device


def known_devices() -> list[str]:
    """Names of the devices that PyTorch finds on this machine."""
    kind = torch.accelerator.current_accelerator(check_available=True)
    return ["cpu", *(f"{kind.type}:{number}" for number in range(torch.accelerator.device_count()) if kind)]
