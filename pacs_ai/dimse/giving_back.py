"""An answer goes to whoever waits for it, also where the association's own thread was quicker."""

from pynetdicom.association import Association
from pynetdicom.dimse_primitives import DimseServiceType


def give_back(association: Association, message: DimseServiceType, context_id: int) -> bool:
    """Whether somebody waits for this message: then it is the next again, before those that came after it.

    The association's own thread says that it has paused a moment before it does, and may go on a moment after the next
    one has asked it to pause. Held up in that moment, as on a machine with much to do, it takes the answer that another
    thread waits for and would drop it.
    """
    is_waited_for = not association._reactor_checkpoint.is_set()  # noqa: SLF001 - whoever asks clears it first
    if message.is_valid_request or not is_waited_for:
        return False
    messages = association.dimse.msg_queue
    with messages.mutex:
        messages.queue.appendleft((context_id, message))
        messages.not_empty.notify()
    return True
