"""The name under which a DICOM series or image appears outside DICOM: in tables, logs and names of files."""

from __future__ import annotations

import hashlib

_DIGITS = 16


def uid_hash(uid: str) -> str:
    """The first 16 hexadecimal digits of a UID's SHA-256.

    A UID leads to the patient for whoever can search the PACS; its hash does only for those who have the UID already.

    Args:
        uid: A Series or SOP Instance UID.

    Returns:
        16 lower-case hexadecimal digits, the same for the same UID on every machine.

    Example:
        >>> uid_hash("1.2.840.113619.2.1")
        'f7a5d3c758ecde1f'
    """
    return hashlib.sha256(uid.strip().encode()).hexdigest()[:_DIGITS]
