"""every reading, and with what it was made"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op


revision: str = '0006'
down_revision: str | None = '0005'
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table('readings',
    sa.Column('sop_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('revision', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('study_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('read_at', sa.DateTime(), nullable=False),
    sa.Column('outcome', sa.String(length=32), nullable=False),
    sa.Column('reason', sa.String(length=64), nullable=True),
    sa.Column('detail', sa.Text(), nullable=True),
    sa.Column('probability', sa.Float(), nullable=True),
    sa.Column('threshold', sa.Float(), nullable=True),
    sa.Column('model_name', sa.Text(), nullable=True),
    sa.Column('model_version', sa.Text(), nullable=True),
    sa.Column('model_sha256', sa.String(length=64), nullable=True),
    sa.Column('setup_sha256', sa.String(length=64), nullable=True),
    sa.Column('evidence', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('sop_instance_uid', 'revision', name=op.f('pk_readings'))
    )
    with op.batch_alter_table('readings', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_readings_study_instance_uid'), ['study_instance_uid'], unique=False)
    op.create_table('setups',
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('document', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('sha256', name=op.f('pk_setups'))
    )
    # Of earlier readings the newest is known; it is dated by its event.
    op.execute("""
        INSERT INTO readings (sop_instance_uid, revision, study_instance_uid, read_at, outcome, reason, detail,
                              probability, threshold, model_name, model_version, model_sha256)
        SELECT o.sop_instance_uid, o.revision, o.study_instance_uid,
               COALESCE((SELECT MAX(e.at) FROM audit_events e
                         WHERE e.study_instance_uid = o.study_instance_uid
                           AND e.sop_instance_uid = o.sop_instance_uid AND e.action IN ('read', 'refuse')),
                        s.touched_at),
               o.outcome, o.reason, o.detail, o.probability, o.threshold, o.model_name, o.model_version, o.model_sha256
        FROM outcomes o JOIN studies s ON s.study_instance_uid = o.study_instance_uid
    """)


def downgrade() -> None:
    op.drop_table('setups')
    op.drop_table('readings')
