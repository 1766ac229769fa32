"""Certificates of our own authority, made by openssl for one test run."""

import shutil
import subprocess
from pathlib import Path


def is_possible() -> bool:
    return shutil.which("openssl") is not None


def make(folder: Path, *names: str, address: str = "127.0.0.1") -> None:
    """`ca.crt`, and for each name `<name>.crt` and `<name>.key`, good for `address`."""
    _openssl(folder, "req", "-x509", *_new_key("ca"), "-days", "2", "-out", "ca.crt")
    extension = folder / "loopback"
    extension.write_text(f"subjectAltName=IP:{address}\n")
    for name in names:
        _openssl(folder, "req", *_new_key(name), "-out", f"{name}.csr")
        _openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "2", "-extfile", extension.name, "-out", f"{name}.crt",
        )  # fmt: skip


def _new_key(name: str) -> tuple[str, ...]:
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    return (*kind, "-keyout", f"{name}.key", "-subj", f"/CN={name}")


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
