"""The password hasher: Argon2id with OWASP's parameters, on a few threads of its own."""

from concurrent.futures import ThreadPoolExecutor

from django.contrib.auth.hashers import Argon2PasswordHasher

MAX_CHECKS = 3
"""How many passwords this process hashes or checks at a time."""

# malloc keeps freed memory for the thread that used it: 64 web threads that each hashed once would
# keep 19 MiB each. These few threads are the only ones that hash.
_threads = ThreadPoolExecutor(MAX_CHECKS, thread_name_prefix="argon2")


class Argon2Hasher(Argon2PasswordHasher):
    """Argon2id with 19 MiB, 2 passes and 1 lane (OWASP's Password Storage Cheat Sheet).

    Django's own parameters take 100 MiB and 8 threads for each check. A hash with other parameters
    is still accepted, and replaced at the next login.
    """

    memory_cost = 19 * 1024  # KiB
    time_cost = 2
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        return _threads.submit(super().encode, password, salt).result()

    def verify(self, password: str, encoded: str) -> bool:
        return _threads.submit(super().verify, password, encoded).result()
