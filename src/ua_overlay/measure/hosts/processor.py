"""How busy a machine is, from /proc/stat. Pure."""
from typing import Optional, Tuple

#: (busy, all) processor time of all cores since the machine started, in ticks.
Ticks = Tuple[int, int]


def parse_ticks(text: str) -> Ticks:
    """Read /proc/stat (proc(5)); a core that waits for a disk is not busy."""
    numbers = [int(word) for word in text.split('\n', 1)[0].split()[1:9]]
    return sum(numbers) - numbers[3] - numbers[4], sum(numbers)


def busy_percent(before: Optional[Ticks], after: Optional[Ticks]) -> Optional[float]:
    """Busy share of all cores between two readings, 0 to 100; None without both."""
    if before is None or after is None or after[1] <= before[1]:
        return None
    return round(100.0 * (after[0] - before[0]) / (after[1] - before[1]), 1)
