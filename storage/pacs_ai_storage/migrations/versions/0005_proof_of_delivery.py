"""proof of delivery, and nodes that are away"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op


revision: str = '0005'
down_revision: str | None = '0004'
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column('deliveries', sa.Column('unreachable_since', sa.DateTime(), nullable=True))
    op.add_column('deliveries', sa.Column('sent_at', sa.DateTime(), nullable=True))
    op.add_column('deliveries', sa.Column('proof_tries', sa.Integer(), nullable=False, server_default='0'))
    op.add_column('deliveries', sa.Column('transaction_uid', sa.String(length=64), nullable=True))
    op.create_index(op.f('ix_deliveries_transaction_uid'), 'deliveries', ['transaction_uid'], unique=False)


def downgrade() -> None:
    op.drop_index(op.f('ix_deliveries_transaction_uid'), table_name='deliveries')
    # What was sent and not proved yet is sent again: the version before knows no such state.
    op.execute("UPDATE deliveries SET state = 'PENDING' WHERE state = 'SENT'")
    for name in ('transaction_uid', 'proof_tries', 'sent_at', 'unreachable_since'):
        op.drop_column('deliveries', name)
