"""files that have gone, and since when a study has nothing left to do"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op


revision: str = '0009'
down_revision: str | None = '0008'
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

KEPT = sa.text('gone_at IS NULL')


def upgrade() -> None:
    op.add_column('studies', sa.Column('settled_at', sa.DateTime(), nullable=True))
    op.create_index(op.f('ix_studies_settled_at'), 'studies', ['settled_at'], unique=False)
    for table in ('instances', 'objects'):
        op.add_column(table, sa.Column('gone_at', sa.DateTime(), nullable=True))
        op.create_index(
            f'ix_{table}_kept', table, ['path'], unique=False, sqlite_where=KEPT, postgresql_where=KEPT
        )
    # The hours of what was settled by an earlier version begin with its last event.
    op.execute("""
        UPDATE studies SET settled_at = COALESCE(
            (SELECT MAX(e.at) FROM audit_events e
             WHERE e.study_instance_uid = studies.study_instance_uid AND e.action IN ('finish', 'cancel')),
            touched_at)
        WHERE state IN ('DELIVERED', 'DECLINED')
           OR (state = 'READY'
               AND EXISTS (SELECT 1 FROM deliveries d WHERE d.study_instance_uid = studies.study_instance_uid)
               AND NOT EXISTS (SELECT 1 FROM deliveries d
                               WHERE d.study_instance_uid = studies.study_instance_uid AND d.state <> 'CANCELLED'))
    """)


def downgrade() -> None:
    for table in ('instances', 'objects'):
        op.drop_index(f'ix_{table}_kept', table_name=table)
        op.drop_column(table, 'gone_at')
    op.drop_index(op.f('ix_studies_settled_at'), table_name='studies')
    op.drop_column('studies', 'settled_at')
