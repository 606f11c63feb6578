"""What is kept of days whose events were let go."""
import sqlalchemy as sa
from alembic import op

from rmn_lora.storage.models import Id, Long

revision,down_revision = '0002','0001'

def upgrade():
    "Make the table of figures."
    op.create_table('figures',
        sa.Column('view', Id(40), nullable=False),
        sa.Column('entity', Id(), nullable=False),
        sa.Column('day', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('figures', Long, nullable=False),
        sa.PrimaryKeyConstraint('view', 'entity', 'day', name=op.f('pk_figures')))
