"""the data folder"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op


revision: str = '0010'
down_revision: str | None = '0009'
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('data_folder',
    sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('mark', sa.String(length=32), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_data_folder'))
    )


def downgrade() -> None:
    op.drop_table('data_folder')
