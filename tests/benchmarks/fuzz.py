"""Spoiled files, read one after the other: python -m tests.benchmarks.fuzz --inputs 50000 [--seed 0] [--save DIR]

Each is read in a process of its own kind, watched from outside. Wrong is whatever a stranger must not bring about: an
exception other than RadiographError, a picture that is none, a process that dies, that takes longer than `SECONDS` over
one file, or that ever holds more than `MEMORY` beyond what it held before.
"""

import argparse
import multiprocessing
import os
import re
import resource
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lungfusion.reading.radiograph import Radiograph, RadiographError, load_radiograph

SECONDS = 5.0  # of a processor
MEMORY = 2 * 2**30  # bytes
START = 300.0  # seconds that a reader may take to begin
READ, REFUSED = "read", "refused"  # the two ends a file may come to; anything else is a fault


@dataclass
class Report:
    """How many files came to which end, the faults as (number, name, what happened), the slowest and the peak."""

    ends: Counter = field(default_factory=Counter)
    faults: list = field(default_factory=list)
    slowest: float = 0.0  # seconds
    peak: int = 0  # bytes beyond what the reader held before


class Reader:
    """A process that reads files. It is begun anew after a fault."""

    def __init__(self):
        self.begin()

    def begin(self):
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other,), daemon=True)
        self.process.start()
        other.close()
        if not self.pipe.poll(START):
            raise RuntimeError("The process that reads did not begin.")
        self.pipe.recv()

    def read(self, data):
        """Bytes of a file → how it ended, seconds of a processor, bytes held at most."""
        started, before = time.monotonic(), self.worked()
        self.pipe.send_bytes(data)
        try:
            while not (done := self.pipe.poll(SECONDS)):
                if self.worked() - before > SECONDS or time.monotonic() - started > 20 * SECONDS:
                    break
            end, peak = self.pipe.recv() if done else ("not done in time", 0)
            seconds = self.worked() - before
        except (EOFError, ConnectionResetError):
            self.process.join(10)
            end, peak, seconds = f"died with exit code {self.process.exitcode}", 0, 0
        if end in (READ, REFUSED) and peak > MEMORY:
            end = f"held {peak / 2**30:.1f} GiB"
        if end not in (READ, REFUSED):
            self.end()
            self.begin()
        return end, seconds, peak

    def worked(self):
        """Seconds of a processor that it has had: on a busy machine a clock would blame the file."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.process.kill()
        self.process.join()
        self.pipe.close()


def serve(pipe):
    """Read files until the pipe is closed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff says there what it thinks of each file
    before = peak_memory()
    allowed = current_memory() + 2 * MEMORY  # the machine's own protection: twice what counts as a fault
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    pipe.send("ready")
    while True:
        try:
            data = pipe.recv_bytes()
        except EOFError:
            return
        pipe.send((end_of(data), peak_memory() - before))


def end_of(data):
    """READ or REFUSED, or what went wrong."""
    try:
        radiograph = load_radiograph(data)
    except RadiographError as error:
        return REFUSED if str(error) else "refused without a reason"
    except BaseException:
        return traceback.format_exc()
    return READ if is_as_promised(radiograph) else f"read as {radiograph!r}"


def is_as_promised(radiograph):
    pixels = radiograph.pixels
    shape = isinstance(radiograph, Radiograph) and pixels.dtype == np.float32 and pixels.ndim == 2
    return shape and min(pixels.shape) >= 64 and 0 <= pixels.min() < pixels.max() <= 1


def peak_memory():
    """The most this process ever held, in bytes."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def current_memory():
    """The addresses this process has, in bytes."""
    return 1024 * int(re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def fuzz(inputs, seed=0, first=0, save=None):
    """Read `inputs` spoiled files → `Report`. save: folder for those that are a fault, or None."""
    from tests.support.mutations import spoiled  # here, because it makes many files, and those who read need none of it

    report, reader = Report(), Reader()
    for number in tqdm(range(first, first + inputs), unit="file", mininterval=5):
        name, data = spoiled(seed, number)
        end, seconds, peak = reader.read(data)
        report.slowest, report.peak = max(report.slowest, seconds), max(report.peak, peak)
        report.ends[end if end in (READ, REFUSED) else "fault"] += 1
        if end not in (READ, REFUSED):
            report.faults.append((number, name, end))
            if save:
                save.mkdir(parents=True, exist_ok=True)
                (save / f"{seed}-{number}").write_bytes(data)
    reader.end()
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--save", type=Path, metavar="DIR", help="where to keep the files that are a fault")
    arguments = parser.parse_args()
    started = time.monotonic()
    report = fuzz(arguments.inputs, arguments.seed, arguments.first, arguments.save)
    for number, name, end in report.faults:
        print(f"seed {arguments.seed}, file {number} ({name}): {end}")
    print(
        f"- {arguments.inputs} spoiled files in {time.monotonic() - started:.0f} s: {report.ends[READ]} read, "
        f"{report.ends[REFUSED]} refused, {report.ends['fault']} faults; slowest {report.slowest:.2f} s, "
        f"most memory {report.peak / 2**20:.0f} MiB."
    )
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
