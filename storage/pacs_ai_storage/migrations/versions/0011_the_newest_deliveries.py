"""the newest deliveries without sorting them all"""

from collections.abc import Sequence

from alembic import op


revision: str = '0011'
down_revision: str | None = '0010'
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_index('ix_deliveries_queued_at', 'deliveries', ['queued_at'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_deliveries_queued_at', table_name='deliveries')
