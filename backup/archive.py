"""The archive: a ZIP file whose last members are a manifest of all the others and the manifest's own checksum.

It is written under a hidden name and gets its own only after it was read back, so a file of that name is always whole.
Standard library only: the launcher verifies an archive before anything of the stack is touched.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypedDict

from common.errors import EnmsError

FORMAT = 1
MANIFEST, SEAL = "manifest.json", "manifest.sha256"
CHUNK = 1 << 20
COMPRESSED_ALREADY = (".dump", ".png", ".bin", ".joblib")
MIGRATIONS = Path(__file__).resolve().parent.parent / "database" / "migrations"


class Member(TypedDict):
    """What the manifest has of a member."""

    bytes: int
    sha256: str


class SavedDatabase(TypedDict):
    """What a restore must know of the database beforehand: engine (plain or timescale), applied migrations, versions
    (None without TimescaleDB) and size.
    """

    engine: str
    migrations: list[str]
    postgresql: str
    timescaledb: str | None
    database_bytes: int


class SavedFlows(TypedDict):
    """The names of removed flow files, and whether the archive has all flows, not only those that differ."""

    flows_removed: list[str]
    flows_whole: bool


class Manifest(SavedDatabase, SavedFlows):
    """What is in an archive, and of what it was made."""

    format: int
    members: dict[str, Member]
    made_at: str  # 2026-01-31T09:15:02Z
    version: str
    secrets: bool
    demo: bool


class Writer:
    """Writes the archive `path`; a context manager. Without `finish` nothing is left of it."""

    _file: IO[bytes]
    _zip: zipfile.ZipFile

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.partial = partial_of(self.path)
        self.members: dict[str, Member] = {}

    def __enter__(self) -> "Writer":
        handle = os.open(self.partial, os.O_RDWR | os.O_CREAT, 0o600)
        self._file = os.fdopen(handle, "r+b")
        if not _locked(self._file):
            self._file.close()
            raise EnmsError(f"Another backup is just being written to {self.path}.", "Wait until it is done.")
        self._file.truncate(0)
        self._zip = zipfile.ZipFile(self._file, "w", allowZip64=True)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._zip.close()
        self._file.close()
        self.partial.unlink(missing_ok=True)

    @contextlib.contextmanager
    def member(self, name: str) -> Iterator["_Hashed"]:
        """A file to write the member's bytes to."""
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_STORED if name.endswith(COMPRESSED_ALREADY) else zipfile.ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        with self._zip.open(info, "w", force_zip64=True) as target:
            hashed = _Hashed(target)
            yield hashed
        self.members[name] = {"bytes": hashed.bytes, "sha256": hashed.digest.hexdigest()}

    def add(self, name: str, data: bytes) -> None:
        """Adds a member from bytes."""
        with self.member(name) as target:
            target.write(data)

    def add_file(self, name: str, path: Path) -> None:
        """Adds a member from a file."""
        with open(path, "rb") as source, self.member(name) as target:
            while chunk := source.read(CHUNK):
                target.write(chunk)

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Adds the manifest, completed by format and members, reads everything back and gives the archive its name.

        Raises EnmsError when it reads differently.
        """
        text = json.dumps({"format": FORMAT, **manifest, "members": self.members}, indent=1, sort_keys=True).encode()
        self.add(MANIFEST, text)
        self.add(SEAL, hashlib.sha256(text).hexdigest().encode())
        self._zip.close()
        os.fsync(self._file.fileno())
        verify(self.partial)
        os.replace(self.partial, self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class _Hashed:
    """Passes bytes on and keeps their number and SHA-256."""

    def __init__(self, target: IO[bytes]) -> None:
        self.target, self.bytes, self.digest = target, 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.bytes += len(data)
        self.digest.update(data)
        return self.target.write(data)


def partial_of(path: Path) -> Path:
    """The hidden name under which an archive is written."""
    return path.with_name(f".{path.name}.partial")


def remove_leftovers(folder: Path) -> None:
    """Removes what killed backups left in a folder; one that is being written stays."""
    for path in folder.glob(".*.partial"):
        with open(path, "rb") as file:
            if _locked(file):
                path.unlink(missing_ok=True)


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def verify(path: str | Path) -> Manifest:
    """Reads the whole archive and compares it with its manifest, which is returned.

    Raises EnmsError that says what is wrong with it.
    """
    with _opened(path) as archive:
        manifest = _manifest(path, archive)
        _same_names(path, archive, manifest["members"])
        for name, known in manifest["members"].items():
            digest, left = hashlib.sha256(), known["bytes"]
            for chunk in _chunks(path, archive, name):
                digest.update(chunk)
                left -= len(chunk)
                if left < 0:
                    break
            if left or digest.hexdigest() != known["sha256"]:
                raise damaged(path, f"the checksum of {name} is wrong")
    return manifest


def refuse_newer(path: str | Path, migrations: Iterable[str], version: str) -> None:
    """Raises EnmsError when the archive, made by that version, has migrations that this checkout does not know."""
    ours = {file.name for file in MIGRATIONS.glob("[0-9][0-9][0-9][0-9]_*.sql")}
    unknown = sorted(set(migrations) - ours)
    if unknown:
        raise EnmsError(
            f"{path} was made by a newer version of ENMS ({version}): its database knows "
            f"{', '.join(unknown)}, which this version ({len(ours)} migrations) does not.",
            "Restore it with that version or a newer one.",
        )


def read(path: str | Path, name: str) -> bytes:
    """The bytes of a small member."""
    with _opened(path) as archive:
        return b"".join(_chunks(path, archive, name))


def extract(path: str | Path, name: str, target: Path) -> None:
    """Writes a member to a file that only its owner can read."""
    with (
        _opened(path) as archive,
        os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file,
    ):
        for chunk in _chunks(path, archive, name):
            file.write(chunk)


def damaged(path: str | Path, how: str) -> EnmsError:
    """The error for an archive that is not as it was written."""
    return EnmsError(f"{path} is damaged: {how}.", "Use another backup; nothing was changed.")


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[zipfile.ZipFile]:
    try:
        with open(path, "rb") as file:
            begin = file.read(4)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise EnmsError(f"There is no file {path}.", "ls shows which backups there are.") from error
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        if begin == b"PK\x03\x04":
            raise damaged(path, "it was cut, its end is missing") from error
        raise EnmsError(f"{path} is not a backup of ENMS.", "./enms backup FILE makes one.") from error
    with archive:
        yield archive


def _manifest(path: str | Path, archive: zipfile.ZipFile) -> Manifest:
    names = archive.namelist()
    if MANIFEST not in names or SEAL not in names:
        raise EnmsError(f"{path} is a ZIP file, but not a backup of ENMS.", "./enms backup FILE makes one.")
    text, seal = (b"".join(_chunks(path, archive, name)) for name in (MANIFEST, SEAL))
    if hashlib.sha256(text).hexdigest().encode() != seal:
        raise damaged(path, "its manifest is not the one that was written")
    manifest = json.loads(text)
    if manifest["format"] > FORMAT:
        raise EnmsError(
            f"{path} was made by a newer version of ENMS ({manifest['version']}).",
            "Restore it with that version or a newer one.",
        )
    return manifest


def _same_names(path: str | Path, archive: zipfile.ZipFile, members: Mapping[str, Member]) -> None:
    """Raises EnmsError unless the manifest names each member once, and each is a plain relative path: nothing can be
    written outside its place.
    """
    found = [name for name in archive.namelist() if name not in (MANIFEST, SEAL)]
    unsafe = [name for name in found if not is_safe(name)]
    if unsafe:
        raise EnmsError(
            f"{path} is no backup to trust: its member {unsafe[0]!r} would be written outside the stack's folders.",
            "Use a backup that ./enms backup made.",
        )
    if sorted(found) != sorted(members):
        wrong = sorted(set(found) ^ set(members)) or ["a name that is in it twice"]
        raise damaged(path, f"manifest and content differ ({wrong[0]})")


def is_safe(name: str) -> bool:
    """True for a relative path without steps upwards."""
    parts = PurePosixPath(name).parts
    return (
        bool(parts)
        and name == "/".join(parts)
        and not {"/", "..", "."} & set(parts)
        and "\\" not in name
        and "\0" not in name
    )


def _chunks(path: str | Path, archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    try:
        with archive.open(name) as source:
            while chunk := source.read(CHUNK):
                yield chunk
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, KeyError) as error:
        raise damaged(path, f"{name} can't be read") from error
