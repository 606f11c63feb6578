"""${message}"""
import sqlalchemy as sa
from alembic import op

from rmn_lora.storage.models import Id, Long, Serial, When

revision,down_revision = ${repr(up_revision)},${repr(down_revision)}

def upgrade():
    ${upgrades if upgrades else "pass"}
