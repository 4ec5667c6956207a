"""The C library's memory allocator, told to keep what is freed for the next layer."""

import ctypes

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1


def keep_freed_memory(up_to: int) -> bool:
    """Let large arrays be taken from the heap, which keeps them, instead of from the system.

    A network on a CPU makes and frees hundreds of them at each step. By default each is mapped and
    unmapped, and the system clears its pages anew: half of the upsampler's time.

    Args:
        up_to: Bytes of the largest array to keep. Larger ones should be few: whole frames, which
            would leave the heap in pieces.

    Returns:
        Whether the C library can be told so: glibc can.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, up_to) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
