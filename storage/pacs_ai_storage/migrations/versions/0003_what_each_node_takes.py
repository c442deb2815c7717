"""what each node takes"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op


revision: str = '0003'
down_revision: str | None = '0002'
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('negotiated_forms',
    sa.Column('node', sa.String(length=64), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('sop_class_uid', sa.String(length=64), nullable=False),
    sa.Column('transfer_syntax_uid', sa.String(length=64), nullable=False),
    sa.Column('decided_at', sa.DateTime(), nullable=False),
    sa.PrimaryKeyConstraint('node', 'kind', name=op.f('pk_negotiated_forms'))
    )
    op.add_column('deliveries', sa.Column('delivered_name', sa.Text(), nullable=True))
    op.add_column('deliveries', sa.Column('delivered_sop_class_uid', sa.String(length=64), nullable=True))
    op.add_column('deliveries', sa.Column('delivered_sop_instance_uid', sa.String(length=64), nullable=True))
    op.add_column('deliveries', sa.Column('delivered_transfer_syntax_uid', sa.String(length=64), nullable=True))


def downgrade() -> None:
    for name in ('transfer_syntax_uid', 'sop_instance_uid', 'sop_class_uid', 'name'):
        op.drop_column('deliveries', f'delivered_{name}')
    op.drop_table('negotiated_forms')
