"""What the parts of the service go by, as the settings describe it: when a study is read, and when a result is sent."""

import random
import socket
from collections.abc import Callable
from datetime import timedelta

from pacs_ai_storage.claims import ClaimTerms

from .delivery import RetryPolicy
from .proving import ProofPolicy
from .settings import Settings

LEASE = timedelta(seconds=120)
_RECEIVING_PAUSE = timedelta(seconds=0.4)
_PATIENCE = timedelta(seconds=2)
Insist = Callable[[Callable[[], None]], None]


def owner_of(settings: Settings) -> str:
    """Whose leases those of this service are, also after a restart."""
    return f"{socket.gethostname()}:{settings.dicom.ae_title}:{settings.dicom.port}"


def claim_terms(settings: Settings) -> ClaimTerms:
    """Which studies may be read, and for how long."""
    return ClaimTerms(
        owner=owner_of(settings),
        stable_after=timedelta(seconds=settings.ingest.stable_after),
        lease=LEASE,
        receiving_pause=_RECEIVING_PAUSE,
        patience=_PATIENCE,
    )


def retry_policy(settings: Settings, insist: Insist) -> RetryPolicy:
    """When a result is sent again, and when no more."""
    terms = settings.delivery
    return RetryPolicy(
        first=timedelta(seconds=terms.first_retry_seconds),
        longest=timedelta(seconds=terms.max_retry_seconds),
        give_up_after=timedelta(hours=terms.give_up_after_hours),
        associations=terms.associations,
        chance=random.random,
        insist=insist,
    )


def proof_policy(settings: Settings, insist: Insist) -> ProofPolicy:
    """How long a node has to show that it keeps a result."""
    within = timedelta(seconds=settings.delivery.prove_within_seconds)
    return ProofPolicy(within=within, retry=retry_policy(settings, insist))
