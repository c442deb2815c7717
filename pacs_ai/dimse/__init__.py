"""The network side: Verification and Storage, as SCP and as SCU. The only place for pynetdicom."""
