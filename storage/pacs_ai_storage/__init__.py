"""What must survive a power cut: instances on disk, the ledger of studies, the outbox and the audit log.

Knows UIDs, states, files and times; no pixel, no network, no model.
"""
