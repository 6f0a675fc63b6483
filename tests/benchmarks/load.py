"""Many clients at once, through the HTTP API.

    python -m tests.benchmarks.load [--clients 50] [--minutes 5] [--model DIR_OR_ID]

Starts the app. Three of five calls send a whole file, one a broken one, one hangs up before its answer; who is refused,
for the queue is full, tries again a second later. At the end, printed and judged: each answer is that of a single user,
each broken file is refused with a sentence, the app still serves, and neither its memory nor its temporary folder has
grown without end.
"""

import argparse
import json
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import numpy as np
import psutil

from tests.support.app_server import analyze, analyze_upload, serving, upload
from tests.support.image_files import encoded
from train.augment.phantom.radiograph import draw_phantom

FILES = 8  # different radiographs
SIDE = 512  # pixels
TOLERANCE = 0.01  # of a probability
PATIENCE = 1  # seconds
MAX_GROWTH = 100 * 2**20  # bytes of memory, in the second half of the time
BROKEN = (b"", b"no picture", encoded(np.zeros((80, 96), np.uint8), "PNG"))


class Load:
    """What the clients share: the server, the files with their right answers, and the tally."""

    def __init__(self, served, files):
        self.served, self.files = served, files
        self.counts, self.wrong, self.seconds, self.lock = Counter(), [], [], threading.Lock()

    def call(self, chance):
        """One call of one client."""
        kind = chance.choice(("whole", "whole", "whole", "broken", "hang up"))
        name, (content, expected) = chance.choice(list(self.files.items()))
        started = time.monotonic()
        try:
            if kind == "hang up":
                self.hang_up(name, content, chance)
                outcome = "hung up"
            else:
                if kind == "broken":
                    name, content, expected = "broken.png", chance.choice((*BROKEN, content[: len(content) // 2])), None
                outcome = self.judged(*analyze_upload(self.served.address, name, content), expected)
        except (OSError, ValueError, IndexError) as error:
            outcome = f"failed: {type(error).__name__} {error}"[:200]
        if outcome.startswith("refused"):
            time.sleep(PATIENCE)
        with self.lock:
            self.counts[outcome.split(":")[0]] += 1
            if outcome.startswith(("wrong", "failed")):
                self.wrong.append(outcome)
            if outcome == "answered":
                self.seconds.append(time.monotonic() - started)

    def judged(self, event, answer, expected):
        said = json.dumps(answer)
        if event == "error":
            if "queue" in said.lower():
                return "refused politely, the queue is full"
            return "broken file refused" if expected is None and "broken.png" in said else f"wrong: {said[:200]}"
        return "answered" if same(answer[0], expected) else f"wrong: {said[:200]}"

    def hang_up(self, name, content, chance):
        """Upload, ask, and go: half of the time in the middle of the upload."""
        if chance.random() < 0.5:
            place = urlsplit(self.served.address)
            with socket.create_connection((place.hostname, place.port), timeout=60) as connection:
                head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {len(content)}\r\n"
                head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
                connection.sendall(head.encode() + b"--x\r\n" + content[: len(content) // 2])
        else:
            path = upload(self.served.address, name, content)
            try:
                analyze(self.served.address, {"path": path, "meta": {"_type": "gradio.FileData"}}, timeout=0.01)
            except OSError:
                return


def same(answer, expected):
    """Whether two answers of the API agree, probabilities up to `TOLERANCE`."""
    if expected is None:
        return False
    pairs = zip(answer["findings"], expected["findings"], strict=True)
    return answer["warnings"] == expected["warnings"] and all(
        one["name"] == other["name"] and abs(one["probability"] - other["probability"]) <= TOLERANCE
        for one, other in pairs
    )


def files_with_answers(served):
    """name → (bytes, the answer a single user gets)."""
    files = {}
    for seed in range(FILES):
        content = encoded((draw_phantom(seed=seed, size=SIDE)[0] * 255).astype(np.uint8), "PNG")
        event, answer = analyze_upload(served.address, f"{seed}.png", content)
        if event != "complete":
            raise RuntimeError(f"The app does not answer a single user: {answer}")
        files[f"{seed}.png"] = content, answer[0]
    return files


def memory(served):
    """Bytes the app holds."""
    return psutil.Process(served.process.pid).memory_info().rss


def temporary(served):
    """Bytes in its temporary folder."""
    return sum(path.stat().st_size for path in served.cache.rglob("*") if path.is_file())


def client(load, seed, end):
    chance = random.Random(seed)
    while time.monotonic() < end:
        load.call(chance)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--model", help="folder or id on the Hub; the bundled checkpoint if not given")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(arguments.model, Path(folder)) as served:
        load = Load(served, files_with_answers(served))
        before, end = memory(served), time.monotonic() + 60 * arguments.minutes
        threads = [threading.Thread(target=client, args=(load, seed, end)) for seed in range(arguments.clients)]
        for thread in threads:
            thread.start()
        most = half = before
        while any(thread.is_alive() for thread in threads):
            now = memory(served)
            most = max(most, now)
            half = now if time.monotonic() < end - 30 * arguments.minutes else half
            print(f"{now / 2**20:.0f} MiB", end="\r", file=sys.stderr)
            time.sleep(1)
        name, (content, expected) = next(iter(load.files.items()))
        event, answer = analyze_upload(served.address, name, content)
        serves = event == "complete" and same(answer[0], expected)
        sent = sum(len(content) for content, _ in load.files.values())
        return report(arguments, load, serves, before, half, memory(served), most, temporary(served), sent)


def report(arguments, load, serves, before, half, after, most, temporary, sent):
    """Print the tally; the exit status."""
    tally = ", ".join(f"{count} {outcome}" for outcome, count in load.counts.most_common())
    print(f"- {arguments.clients} clients for {arguments.minutes:g} minutes: {tally}.")
    if load.seconds:
        high = sorted(load.seconds)[int(0.95 * len(load.seconds))]
        print(f"- With the queue, an answer took {median(load.seconds):.1f} s (95th percentile {high:.1f} s).")
    print(
        f"- Memory: {before / 2**20:.0f} MiB before, {half / 2**20:.0f} at half-time, {after / 2**20:.0f} after, "
        f"{most / 2**20:.0f} at most."
    )
    print(f"- Temporary folder: {temporary / 2**20:.1f} MiB; the files sent differ by {sent / 2**20:.1f} MiB.")
    print("- It still serves." if serves else "- IT NO LONGER SERVES.")
    for outcome in load.wrong[:20]:
        print(outcome)
    return 0 if serves and not load.wrong and after - half < MAX_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
