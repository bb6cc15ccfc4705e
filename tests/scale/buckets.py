"""Buckets of S3's own protocol, on a server in this process."""

import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Bucket:
    """A bucket of a server that can deny."""

    name: str
    storage: Any  # of fsspec
    server: str

    def put(self, folder: Path, place: str) -> str:
        """All files of a folder; its URL."""
        url = f"s3://{self.name}/{place}"
        self.storage.put(f"{folder}/", f"{url}/", recursive=True)
        return url

    def empty_folder(self, place: str) -> None:
        """The object that some programs make for a folder."""
        self.storage.call_s3("put_object", Bucket=self.name, Key=f"{place}/", Body=b"")

    def deny_after(self, requests: int) -> None:
        """Refuses all after so many more requests."""
        self._allow(str(requests))

    def allow(self) -> None:
        self._allow("inf")

    def _allow(self, requests: str) -> None:
        url, plain = f"{self.server}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        post = urllib.request.Request(url, requests.encode(), plain)
        urllib.request.urlopen(post, timeout=60).close()
