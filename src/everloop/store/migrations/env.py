"""Alembic's entry: runs on the connection that `upgrade` hands over, inside its transaction."""

from alembic import context

from everloop.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
