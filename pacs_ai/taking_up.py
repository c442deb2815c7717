"""What an earlier run of the service left, taken up with the settings of this one."""

import logging
from datetime import datetime

from pacs_ai_storage.figures import figures
from pacs_ai_storage.records import DeliveryState

from .settings import Settings
from .stores import Stores

log = logging.getLogger(__name__)


def take_up(settings: Settings, stores: Stores, owner: str, now: datetime) -> None:
    """Studies that `owner` had begun are read again, and no delivery waits for a proof that nobody asks for.

    Holding the port makes us the only service of that name. Raises LedgerUnavailable; may be done twice.
    """
    stores.ledger.release_leases(owner, now)
    for node in settings.nodes:
        if node.proof == "none":
            accepted = stores.proofs.ask_no_more(node.name, now)
            if accepted:
                log.info("%s is asked for no proof any more: %d deliveries count as accepted", node.name, accepted)
    _warn_of_unknown_nodes(settings, stores, now)


def _warn_of_unknown_nodes(settings: Settings, stores: Stores, now: datetime) -> None:
    known = {node.name for node in settings.nodes}
    with stores.database.read() as connection:
        counted = figures(connection, now).deliveries
    waiting = {DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.FAILED}
    for name in sorted({node for node, state in counted if state in waiting} - known):
        log.warning(
            "deliveries wait for %s, which no [[nodes]] names, and keep their studies from ending: name it again, or"
            " take them off with `pacs-ai deliveries cancel --node %s`",
            name,
            name,
        )
