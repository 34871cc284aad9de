"""Where to train, in which precision, and how to get the same numbers each time."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from transfercli.system import memory
from transfercli.system.device_names import check_device
from transfercli.system.errors import TransferError
from transfercli.system.threads import processors


def pick_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps` as a device that is there. Raises TransferError."""
    check_device(name)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if int(number or 0) >= there[kind]:
        raise TransferError(f"there is no device {name} on this machine; use --device auto or --device cpu")
    return torch.device(name)


def pick_precision(wanted: str, device: torch.device) -> torch.dtype:
    """The recipe's precision; `auto` is bfloat16 where the device multiplies it faster than float32, else float32."""
    if wanted != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[wanted]
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        # Private, but torch has no public way to ask (2.11 to 2.15); torch.backends.cpu tells only the vector width.
        fast = device.type == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
    return torch.bfloat16 if fast else torch.float32


def device_name(device: torch.device) -> str:
    """The device as a row records it: the GPU's name, or the processor's and how many of them."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"mps, {platform.machine()}"
    model = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"cpu, {model}, {processors()} processors"


def free_memory(device: torch.device) -> int:
    """Bytes that are free on the device, within the container's limit; what torch keeps of a GPU's for later use is free too."""
    if device.type != "cuda":
        return memory.free()
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """One thread per network's step on a CPU, deterministic kernels on CUDA; the settings before come back at the end."""
    cudnn, threads = torch.backends.cudnn, torch.get_num_threads()
    before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
    if device.type == "cpu":
        torch.set_num_threads(1)
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = True, False, False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = before
