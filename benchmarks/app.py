"""How long a case takes in the app, how many a second, and how much memory the server needs.

    python benchmarks/app.py --bundle BUNDLE --photos 300 --users 50 --json app.json

Starts `cutis app` as a process of its own. `--users` people send cases of one photo at once, one
after another without a pause, until `--photos` are sent; then as many cases again are sent by one
person, for comparison (at most 50). The photos are drawn, of 12, 3 and 0.3 megapixels in turn as
JPEG, unless `--folder` names some. The time of a case is from the first byte sent to the last byte
received. Who is answered 503 waits as long as the server says and tries again: the waiting counts,
and the answers 503 are counted. Memory is the server's peak resident set.
"""

import argparse
import http.client
import io
import json
import os
import resource
import secrets
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from scipy import ndimage

from cutis.preprocessing import SUFFIXES

SIZES = ((3024, 4032), (1512, 2016), (448, 600))
ALONE = 50
KIBIBYTE = 1024


def drawn(height: int, width: int, seed: int) -> bytes:
    """A dark spot on skin with some texture, as JPEG."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(rows - height / 2, columns - width / 2) / min(height, width)
    spot = 1 / (1 + np.exp((away - 0.25) * 60))
    texture = ndimage.zoom(rng.normal(0, 12, (height // 8, width // 8)), 8, order=1)
    grey = (215 - 130 * spot + texture + rng.normal(0, 3, (height, width)))[..., None]
    pixels = (grey * np.array([1, 0.82, 0.74])).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


class Server:
    """`cutis app` in a process of its own, on a free port."""

    def __init__(self, bundle: Path) -> None:
        command = [sys.executable, "-m", "cutis", "app", "--model", str(bundle), "--port", "0"]
        self._process = subprocess.Popen(
            [*command, "--no-browser"], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        address = self._process.stdout.readline().strip()
        if not address.startswith("http"):
            sys.exit("the app did not start")
        self.port = urlsplit(address).port or 0
        while self.ask("GET", "/ready")[0] != http.client.OK:
            time.sleep(0.1)

    def ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = ""
    ) -> tuple[int, int, bytes]:
        """Status, seconds to wait, and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        headers = {"Content-Type": kind} if kind else {}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        read = answer.read()
        connection.close()
        return answer.status, int(answer.headers.get("Retry-After", 0)), read

    def stop(self) -> float:
        """Ends it; gives its peak resident set in MB."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        # of the largest child that has ended, and there is but one
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        return peak / (KIBIBYTE if sys.platform != "darwin" else KIBIBYTE**2)


class Crowd:
    """People who send cases at once, and what they met."""

    def __init__(self, server: Server) -> None:
        self.seconds: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self._server = server
        self._lock = threading.Lock()

    def send(self, photo: bytes) -> None:
        """One case, until it is answered."""
        boundary = secrets.token_hex(16)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="photos"; filename="a"'
        body = f"{head}\r\n\r\n".encode() + photo + f"\r\n--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        start = time.perf_counter()
        while True:
            try:
                status, wait, _ = self._server.ask("POST", "/api/v1/cases", body, kind)
            except OSError as error:
                with self._lock:
                    self.errors[type(error).__name__] += 1
                return
            with self._lock:
                self.statuses[status] += 1
            if status != http.client.SERVICE_UNAVAILABLE:
                break
            time.sleep(wait)
        with self._lock:
            self.seconds.append(time.perf_counter() - start)


def figures(server: Server, photos: Sequence[bytes], users: int) -> dict[str, object]:
    """What so many users meet who share the photos among them."""
    crowd = Crowd(server)
    start = time.perf_counter()
    with ThreadPoolExecutor(users) as pool:
        list(pool.map(crowd.send, photos))
    elapsed = time.perf_counter() - start
    wrong = {str(status): n for status, n in crowd.statuses.items() if status not in (201, 503)}
    return {
        "users": users,
        "cases": len(photos),
        "p50 seconds": statistics.median(crowd.seconds),
        "p99 seconds": float(np.quantile(crowd.seconds, 0.99)),
        "cases a second": crowd.statuses[201] / elapsed,
        "answers 503": crowd.statuses[503],
        "errors": wrong | dict(crowd.errors),
    }


def main() -> None:
    """Starts, sends, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--folder", type=Path, help="of photos to send, instead of drawn ones")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    # First: a child's peak counts what its parent held when it was started.
    server = Server(options.bundle)
    if options.folder is None:
        some = [drawn(*size, seed) for seed, size in enumerate(SIZES * 3)]
    else:
        paths = sorted(p for p in options.folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        some = [path.read_bytes() for path in paths[: options.photos]]
    photos = list(islice(cycle(some), options.photos))
    together = figures(server, photos, options.users)
    alone = figures(server, photos[:ALONE], 1)
    result = {"cores": os.cpu_count(), "MB a photo": statistics.mean(map(len, photos)) / 1e6}
    result |= {"together": together, "alone": alone, "peak MB": server.stop()}
    for name in ("together", "alone"):
        print(f"{name}:", ", ".join(f"{key} {_shown(v)}" for key, v in result[name].items()))
    print(f"peak memory of the server: {result['peak MB']:.0f} MB")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def _shown(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value or "none")


if __name__ == "__main__":
    main()
