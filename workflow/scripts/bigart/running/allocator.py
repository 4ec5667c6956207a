"""Settings of the C library's memory allocator, so that freed memory is reused."""

import ctypes

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1


def keep_freed_memory(heap_threshold: int) -> bool:
    """Let glibc take large arrays from the heap, where freed memory is reused.

    A network on a CPU allocates and frees hundreds of arrays at each step. By default glibc maps
    and unmaps each, and the system clears its pages every time: half of the upsampler's time.

    Args:
        heap_threshold: Bytes of the largest array that comes from the heap. Larger arrays should be
            few: whole frames, which would fragment the heap.

    Returns:
        Whether the C library has these settings: glibc has.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, heap_threshold) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
