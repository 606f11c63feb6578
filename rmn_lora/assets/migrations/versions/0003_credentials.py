"""Keys that were issued."""
import sqlalchemy as sa
from alembic import op

from rmn_lora.storage.models import Id, When

revision,down_revision = '0003','0002'

def upgrade():
    "Make the table of credentials."
    op.create_table('credentials',
        sa.Column('key_id', Id(), nullable=False),
        sa.Column('digest', Id(64), nullable=False),
        sa.Column('name', Id(), nullable=False),
        sa.Column('tenants', sa.JSON(none_as_null=True), nullable=True),
        sa.Column('scopes', sa.JSON(), nullable=False),
        sa.Column('created_at', When(), nullable=False),
        sa.Column('expires_at', When(), nullable=True),
        sa.Column('revoked_at', When(), nullable=True),
        sa.PrimaryKeyConstraint('key_id', name=op.f('pk_credentials')))
