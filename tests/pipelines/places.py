"""Raw folders in other forms: packed into archives, or copied to an object store."""

import os
import struct
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path


def pack(raw: Path, packed: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """RAW with each folder packed into an archive of its name; other files are copied."""
    packed.mkdir(parents=True)
    for entry in sorted(raw.iterdir()):
        if entry.is_dir():
            with zipfile.ZipFile(packed / f"{entry.name}.zip", "w", method) as archive:
                for path in sorted(entry.rglob("*")):
                    archive.write(path, path.relative_to(raw))
        else:
            (packed / entry.name).write_bytes(entry.read_bytes())
    return packed


def put(url: str, data: bytes = b"") -> None:
    """Make a bucket (`s3://name`) or an object, without a client of S3: the server checks no signature."""
    key = urllib.parse.quote(url.removeprefix("s3://"))
    headers = {"Content-Type": "application/octet-stream", "Authorization": "AWS test:test"}  # looked at, not checked
    request = urllib.request.Request(f"{os.environ['AWS_ENDPOINT_URL']}/{key}", data, headers, method="PUT")
    urllib.request.urlopen(request, timeout=30).close()


def upload(folder: Path, url: str) -> str:
    """Copy a folder to an object store; returns the URL."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            put(f"{url}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return url


def rename_member(archive: Path, old: bytes, new: bytes) -> None:
    """Write another name of the same length over a member's, in its header and in the directory."""
    data = archive.read_bytes()
    assert len(old) == len(new) and data.count(old) == 2
    archive.write_bytes(data.replace(old, new))


def change_entry(archive: Path, member: str, offset: int, form: str, *values: int) -> None:
    """Write over fields of a member's entry in the directory, `offset` bytes from its start."""
    data = bytearray(archive.read_bytes())
    at = data.rindex(member.encode()) - 46
    assert data[at : at + 4] == b"PK\x01\x02"
    struct.pack_into(form, data, at + offset, *values)
    archive.write_bytes(data)
