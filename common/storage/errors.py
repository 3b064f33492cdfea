"""What can go wrong with stored files besides FileNotFoundError."""


class StorageUnavailable(Exception):  # noqa: N818 - a condition to report, not a fault
    """The object store does not answer, or refuses what was asked. It may be asked again later."""

    def __init__(self, message: str, *, is_refusal: bool = False) -> None:
        super().__init__(message)
        self.is_refusal = is_refusal
        """Whether it answered, and will go on to refuse until somebody changes something."""

    @property
    def advice(self) -> str:
        """Return what an administrator can do about it."""
        if self.is_refusal:
            return (
                "Make the bucket that CHAMPIPY_STORAGE_URL names, and let the key in "
                "AWS_ACCESS_KEY_ID list it, and read, write and delete its objects."
            )
        return "See that `endpoint` in CHAMPIPY_STORAGE_URL is right, and that the store is up."


class DamagedFileError(OSError):
    """A file does not have the bytes that were stored under its name."""
