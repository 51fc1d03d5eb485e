"""Large pages are asked for where memory is private and filled, and nowhere else."""

import subprocess
import sys
from pathlib import Path

import pytest

from routeiq.wiring.pages import PAGE, regions, use_large_pages

MB = 1 << 20


def region(start: int, megabytes: int, resident: int, rights: str = "rw-p", name: str = "") -> str:
    size = f"{start:x}-{start + megabytes * MB:x} {rights} 00000000 00:00 0 {name}"
    return f"{size}\nSize: {megabytes * 1024} kB\nRss: {resident * 1024} kB\nVmFlags: rd wr mr mw me ac\n"


def test_regions_are_whole_pages_of_what_is_there() -> None:
    """A region that begins off a boundary of two megabytes is taken from the next boundary on."""
    assert list(regions(region(3 * MB, 8, 8))) == [(4 * MB, 6 * MB)]
    assert list(regions(region(4 * MB, 8, 7, name="[heap]"))) == [(4 * MB, 8 * MB)]


@pytest.mark.parametrize(
    "text",
    [
        region(4 * MB, 8, 5),
        region(4 * MB, 8, 8, rights="r--p"),
        region(4 * MB, 8, 8, rights="rw-s"),
        region(4 * MB, 8, 8, name="/usr/lib/libpython3.so"),
        region(4 * MB, 8, 8, name="[stack]"),
        region(3 * MB, 2, 2),
        "",
    ],
    ids=["half-empty", "not-written", "shared", "file", "stack", "too-small", "nothing"],
)
def test_other_regions_are_left_alone(text: str) -> None:
    """Filling what is empty would cost memory, and files have pages of their own."""
    assert list(regions(text)) == []


def test_the_systems_setting_stands(tmp_path: Path) -> None:
    """Where large pages are never to be used, or are not known, nothing is asked for."""
    asked: list[tuple[int, int]] = []
    setting = tmp_path / "enabled"
    setting.write_text("always madvise [never]\n")

    def advise(start: int, length: int) -> bool:
        asked.append((start, length))
        return True

    assert use_large_pages(setting, advise) == 0
    assert use_large_pages(tmp_path / "absent", advise) == 0
    assert not asked


@pytest.mark.skipif(sys.platform != "linux", reason="large pages are asked for on Linux")
def test_memory_keeps_its_contents(tmp_path: Path) -> None:
    """A process that asked for large pages finds every byte where it was, whether the system granted them or not."""
    (tmp_path / "enabled").write_text("always [madvise] never\n")
    code = (
        "import sys; from pathlib import Path; from routeiq.wiring.pages import use_large_pages\n"
        "held = [bytes([n % 251]) * 4001 for n in range(8000)]\n"
        f"asked = use_large_pages(Path({str(tmp_path / 'enabled')!r}))\n"
        "assert all(part == bytes([n % 251]) * 4001 for n, part in enumerate(held))\n"
        "print(asked)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) % PAGE == 0
