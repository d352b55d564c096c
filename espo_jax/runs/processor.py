"""What kind of processor this is."""

import contextlib
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def processor() -> dict[str, str]:
    """What Linux says of a processor, such as its `model name`, `cache size` and `flags`; {} on other systems."""
    with contextlib.suppress(OSError):
        fields = (line.partition(":") for line in CPUINFO.read_text(encoding="utf-8").splitlines())
        return {name.strip(): value.strip() for name, _, value in fields}
    return {}
