from celery import shared_task

from accounts.services import expired_tokens_delete


@shared_task
def delete_expired_tokens() -> None:
    """Delete expired tokens. Beat sends this daily."""
    expired_tokens_delete()
