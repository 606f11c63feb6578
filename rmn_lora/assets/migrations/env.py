"How Alembic reaches the database: over the connection that `storage.database.migrate` hands it."
from alembic import context

from rmn_lora.storage.access import Credential

context.configure(connection=context.config.attributes['connection'], target_metadata=Credential.metadata, render_as_batch=True)
with context.begin_transaction(): context.run_migrations()
