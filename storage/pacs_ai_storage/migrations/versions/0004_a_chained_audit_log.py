"""a chained audit log"""

import re
import sqlite3
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
# The form of the chain never changes, so that a migration may use the one of the package.
from pacs_ai_storage.chain import START, Link, chained
from pacs_ai_storage.schema import UtcDateTime


revision: str = '0004'
down_revision: str | None = '0003'
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
EVENT = (
    ('at', sa.DateTime(), False),
    ('actor', sa.Text(), False),
    ('action', sa.String(length=32), False),
    ('study_instance_uid', sa.String(length=64), True),
    ('sop_instance_uid', sa.String(length=64), True),
    ('outcome', sa.String(length=64), True),
    ('detail', sa.Text(), True),
)
NAMES = [name for name, _, _ in EVENT]
INDEXED = ('study_instance_uid', 'sop_instance_uid', 'action', 'outcome', 'actor', 'calling_ae_title', 'model')
EVIDENCE = re.compile(r'probability=(\S+) threshold=\S+ model=(.+) sha256=')
AT_ONCE = 5000

SQLITE = (
    """CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
       BEGIN SELECT RAISE(ABORT, 'events of the audit log are not changed'); END""",
    """CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
       WHEN OLD.id > COALESCE((SELECT max(sequence) FROM audit_anchors), 0)
       BEGIN SELECT RAISE(ABORT, 'events of the audit log are not deleted'); END""",
    # REPLACE deletes without a word to the trigger above.
    """CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events
       WHEN NEW.id <= (SELECT max(id) FROM audit_events)
       BEGIN SELECT RAISE(ABORT, 'events of the audit log are only appended'); END""",
    """CREATE TRIGGER audit_anchors_no_update BEFORE UPDATE ON audit_anchors
       BEGIN SELECT RAISE(ABORT, 'anchors of the audit log are not changed'); END""",
    """CREATE TRIGGER audit_anchors_no_delete BEFORE DELETE ON audit_anchors
       BEGIN SELECT RAISE(ABORT, 'anchors of the audit log are not deleted'); END""",
    """CREATE TRIGGER audit_anchors_no_replace BEFORE INSERT ON audit_anchors
       WHEN NEW.sequence <= (SELECT max(sequence) FROM audit_anchors)
       BEGIN SELECT RAISE(ABORT, 'anchors of the audit log are only appended'); END""",
    """CREATE TRIGGER audit_head_forward BEFORE UPDATE ON audit_head
       WHEN NEW.sequence <= OLD.sequence OR NEW.id <> OLD.id
       BEGIN SELECT RAISE(ABORT, 'the head of the audit log only goes forward'); END""",
    """CREATE TRIGGER audit_head_no_delete BEFORE DELETE ON audit_head
       BEGIN SELECT RAISE(ABORT, 'the head of the audit log is not deleted'); END""",
    """CREATE TRIGGER audit_head_no_replace BEFORE INSERT ON audit_head
       WHEN EXISTS (SELECT 1 FROM audit_head)
       BEGIN SELECT RAISE(ABORT, 'the audit log has one head'); END""",
)
POSTGRESQL = (
    """CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0]; END $$""",
    """CREATE FUNCTION audit_refuse_unanchored() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN
         IF OLD.id > COALESCE((SELECT max(sequence) FROM audit_anchors), 0) THEN
           RAISE EXCEPTION 'events of the audit log are not deleted';
         END IF;
         RETURN OLD;
       END $$""",
    """CREATE FUNCTION audit_refuse_backward() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN
         IF NEW.sequence <= OLD.sequence OR NEW.id <> OLD.id THEN
           RAISE EXCEPTION 'the head of the audit log only goes forward';
         END IF;
         RETURN NEW;
       END $$""",
    """CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
       FOR EACH ROW EXECUTE FUNCTION audit_refuse('events of the audit log are not changed')""",
    """CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
       FOR EACH ROW EXECUTE FUNCTION audit_refuse_unanchored()""",
    """CREATE TRIGGER audit_events_no_truncate BEFORE TRUNCATE ON audit_events
       FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse('events of the audit log are not deleted')""",
    """CREATE TRIGGER audit_anchors_no_change BEFORE UPDATE OR DELETE ON audit_anchors
       FOR EACH ROW EXECUTE FUNCTION audit_refuse('anchors of the audit log are not changed')""",
    """CREATE TRIGGER audit_anchors_no_truncate BEFORE TRUNCATE ON audit_anchors
       FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse('anchors of the audit log are not changed')""",
    """CREATE TRIGGER audit_head_forward BEFORE UPDATE ON audit_head
       FOR EACH ROW EXECUTE FUNCTION audit_refuse_backward()""",
    """CREATE TRIGGER audit_head_no_delete BEFORE DELETE ON audit_head
       FOR EACH ROW EXECUTE FUNCTION audit_refuse('the head of the audit log is not deleted')""",
    """CREATE TRIGGER audit_head_no_truncate BEFORE TRUNCATE ON audit_head
       FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse('the head of the audit log is not deleted')""",
)
# Any part of a text is found by its trigrams. They need a SQLite of 2020 with FTS5; without them every event is read.
TEXT = (
    """CREATE VIRTUAL TABLE audit_text USING fts5(actor, detail, content='audit_events', content_rowid='id',
       tokenize='trigram', detail='none', columnsize=0)""",
    "INSERT INTO audit_text (rowid, actor, detail) SELECT id, actor, detail FROM audit_events",
    """CREATE TRIGGER audit_text_insert AFTER INSERT ON audit_events
       BEGIN INSERT INTO audit_text (rowid, actor, detail) VALUES (NEW.id, NEW.actor, NEW.detail); END""",
    """CREATE TRIGGER audit_text_delete AFTER DELETE ON audit_events
       BEGIN INSERT INTO audit_text (audit_text, rowid, actor, detail)
             VALUES ('delete', OLD.id, OLD.actor, OLD.detail); END""",
)
FUNCTIONS = ('audit_refuse', 'audit_refuse_unanchored', 'audit_refuse_backward')


def upgrade() -> None:
    op.create_table('audit_head',
    sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('sequence', sa.BigInteger(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_head'))
    )
    op.create_table('audit_anchors',
    sa.Column('sequence', NUMBER, autoincrement=False, nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('at', sa.DateTime(), nullable=False),
    sa.Column('public_key', sa.String(length=64), nullable=False),
    sa.Column('signature', sa.String(length=128), nullable=False),
    sa.PrimaryKeyConstraint('sequence', name=op.f('pk_audit_anchors'))
    )
    _set_aside()
    op.create_table('audit_events',
    sa.Column('id', NUMBER, autoincrement=False, nullable=False),
    *(sa.Column(name, kind, nullable=nullable) for name, kind, nullable in EVENT),
    sa.Column('calling_ae_title', sa.Text(), nullable=True),
    sa.Column('probability', sa.Float(), nullable=True),
    sa.Column('model', sa.Text(), nullable=True),
    sa.Column('previous_sha256', sa.String(length=64), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_events'))
    )
    head = _chain_the_events()
    op.execute(sa.text('INSERT INTO audit_head (id, sequence, sha256) VALUES (1, :sequence, :sha256)')
               .bindparams(sequence=head.sequence, sha256=head.sha256))
    op.drop_table('audit_events_before')
    op.create_index('ix_audit_events_at', 'audit_events', ['at'])
    for name in INDEXED:
        op.create_index(f'ix_audit_events_{name}', 'audit_events', [name, 'at'])
    given = sa.text('probability IS NOT NULL')
    op.create_index('ix_audit_events_probability', 'audit_events', ['at', 'id', 'probability'],
                    sqlite_where=given, postgresql_where=given)
    unread = sa.text('read_at IS NULL')
    op.create_index('ix_studies_unread', 'studies', ['received_at'], sqlite_where=unread, postgresql_where=unread)
    if _is_sqlite() and _has_trigrams():
        for statement in TEXT:
            op.execute(statement)
    op.add_column('instances', sa.Column('patient_id', sa.Text(), nullable=True))
    for name in ('accession_number', 'patient_id'):
        op.create_index(f'ix_instances_{name}', 'instances', [name])
    for statement in SQLITE if _is_sqlite() else POSTGRESQL:
        op.execute(statement)


def downgrade() -> None:
    for name in ('accession_number', 'patient_id'):
        op.drop_index(f'ix_instances_{name}', 'instances')
    op.drop_column('instances', 'patient_id')
    op.drop_index('ix_studies_unread', 'studies')
    for name in ('at', *INDEXED, 'probability'):
        op.drop_index(f'ix_audit_events_{name}', 'audit_events')
    for name in ('audit_head', 'audit_anchors'):
        op.drop_table(name)
    if _is_sqlite():
        for name in ('events_no_update', 'events_no_delete', 'events_no_replace', 'text_insert', 'text_delete'):
            op.execute(f'DROP TRIGGER IF EXISTS audit_{name}')
        op.execute('DROP TABLE IF EXISTS audit_text')
    else:
        for name in FUNCTIONS:
            op.execute(f'DROP FUNCTION {name}() CASCADE')
        op.drop_constraint('pk_audit_events', 'audit_events')
    op.rename_table('audit_events', 'audit_events_chained')
    op.create_table('audit_events',
    sa.Column('id', NUMBER, autoincrement=True, nullable=False),
    *(sa.Column(name, kind, nullable=nullable) for name, kind, nullable in EVENT),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_events')),
    sqlite_autoincrement=True
    )
    columns = ', '.join(['id', *NAMES])
    op.execute(f'INSERT INTO audit_events ({columns}) SELECT {columns} FROM audit_events_chained ORDER BY id')
    if not _is_sqlite():
        op.execute("SELECT setval(pg_get_serial_sequence('audit_events', 'id'), max(id)) FROM audit_events")
    op.drop_table('audit_events_chained')
    op.create_index('ix_audit_events_at', 'audit_events', ['at'])
    op.create_index('ix_audit_events_study_instance_uid', 'audit_events', ['study_instance_uid'])


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == 'sqlite'


def _has_trigrams() -> bool:
    fts5 = op.get_bind().execute(sa.text("SELECT sqlite_compileoption_used('ENABLE_FTS5')")).scalar()
    return bool(fts5) and sqlite3.sqlite_version_info >= (3, 34)


def _set_aside() -> None:
    op.drop_index('ix_audit_events_at', 'audit_events')
    op.drop_index('ix_audit_events_study_instance_uid', 'audit_events')
    if not _is_sqlite():
        op.drop_constraint('pk_audit_events', 'audit_events')
    op.rename_table('audit_events', 'audit_events_before')


def _chain_the_events() -> Link:
    # Numbered anew from 1: what was there had gaps where transactions had failed.
    connection = op.get_bind()
    before = _table('audit_events_before', 'id', *NAMES)
    stations = _stations(connection)
    after = _table('audit_events', 'id', *NAMES, 'calling_ae_title', 'probability', 'model', 'previous_sha256', 'sha256')
    head, last = START, 0
    while rows := connection.execute(sa.select(before).where(before.c.id > last).order_by(before.c.id).limit(AT_ONCE)).all():
        events = chained([_event(row, stations) for row in rows], head)
        connection.execute(sa.insert(after), events)
        head = Link(sequence=events[-1]['id'], sha256=events[-1]['sha256'])
        last = rows[-1].id
    return head


def _table(name: str, *columns: str) -> sa.TableClause:
    kinds: dict[str, Any] = {'id': NUMBER, 'at': UtcDateTime(), 'probability': sa.Float()}
    return sa.table(name, *(sa.column(column, kinds.get(column, sa.Text())) for column in columns))


def _stations(connection: sa.Connection) -> dict[str, str]:
    studies = _table('studies', 'study_instance_uid', 'calling_ae_title')
    return dict(connection.execute(sa.select(studies)).all())


def _event(row: Any, stations: dict[str, str]) -> dict[str, object]:
    event = row._asdict()
    evidence = EVIDENCE.match(row.detail or '') if row.action == 'read' else None
    return {
        **event,
        'calling_ae_title': stations.get(row.study_instance_uid),
        'probability': float(evidence[1]) if evidence else None,
        'model': evidence[2] if evidence else None,
    }
