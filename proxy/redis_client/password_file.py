"""The password of Redis in a file, so that it stands in no environment and in no list of processes.

Owns: the reading of the file. Must not know: the rest of the URL. It is read for each new connection, so that a changed
password is used without a restart.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError

MOST_BYTES = 4096
"""A larger file is no password."""


class PasswordFile(Struct, CredentialProvider, frozen=True):
    """What redis-py asks for user and password. `user`: None for the default user."""

    path: Path
    user: str | None = None

    def password(self) -> str:
        """What is in the file, without the end of the line. Raises ValueError or OSError, which do not show it."""
        with self.path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        password = content.rstrip(b"\r\n")
        if not password or len(content) > MOST_BYTES:
            raise ValueError("it is empty or too large")
        try:
            return password.decode()
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8") from None

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Arguments of AUTH. Raises AuthenticationError."""
        try:
            password = self.password()
        except (OSError, ValueError) as error:
            raise AuthenticationError(f"the password file cannot be used: {error}") from None
        return (password,) if self.user is None else (self.user, password)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """The same: the file is small and local."""
        return self.get_credentials()
