"""The tables of the first version."""
import sqlalchemy as sa
from alembic import op

from rmn_lora.storage.models import Id, Long, Serial, When

revision,down_revision = '0001',None

def upgrade():
    "Make all tables."
    op.create_table('adapter_versions',
        sa.Column('version', Id(), nullable=False),
        sa.Column('adapter_id', Id(), nullable=False),
        sa.Column('kind', sa.String(length=20), nullable=False),
        sa.Column('base', Id(), nullable=False),
        sa.Column('lineage', sa.JSON(), nullable=False),
        sa.Column('scores', sa.JSON(), nullable=False),
        sa.Column('created_at', When(), nullable=False),
        sa.PrimaryKeyConstraint('version', name=op.f('pk_adapter_versions')))
    op.create_index(op.f('ix_adapter_versions_adapter_id'), 'adapter_versions', ['adapter_id'], unique=False)
    op.create_table('brands',
        sa.Column('brand_id', Id(), nullable=False),
        sa.Column('name', Id(), nullable=False),
        sa.Column('tenant_id', Id(), nullable=True),
        sa.Column('guidelines', sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint('brand_id', name=op.f('pk_brands')))
    op.create_index(op.f('ix_brands_tenant_id'), 'brands', ['tenant_id'], unique=False)
    op.create_table('experiments',
        sa.Column('experiment_id', Id(), nullable=False),
        sa.Column('tenant_id', Id(), nullable=True),
        sa.Column('name', Id(), nullable=False),
        sa.Column('status', sa.String(length=20), nullable=False),
        sa.Column('revision', sa.Integer(), nullable=False),
        sa.Column('definition', sa.JSON(), nullable=False),
        sa.Column('created_at', When(), nullable=False),
        sa.Column('started_at', When(), nullable=True),
        sa.Column('stopped_at', When(), nullable=True),
        sa.PrimaryKeyConstraint('experiment_id', name=op.f('pk_experiments')))
    op.create_index(op.f('ix_experiments_status'), 'experiments', ['status'], unique=False)
    op.create_index(op.f('ix_experiments_tenant_id'), 'experiments', ['tenant_id'], unique=False)
    op.create_table('feedback',
        sa.Column('feedback_id', Serial, nullable=False),
        sa.Column('tenant_id', Id(), nullable=True),
        sa.Column('brand_id', Id(), nullable=True),
        sa.Column('user_id', Id(), nullable=True),
        sa.Column('task_type', Id(), nullable=True),
        sa.Column('kind', sa.String(length=20), nullable=False),
        sa.Column('prompt', Long, nullable=False),
        sa.Column('output', Long, nullable=True),
        sa.Column('other', Long, nullable=True),
        sa.Column('thumbs', sa.String(length=4), nullable=True),
        sa.Column('rating', sa.Double(), nullable=True),
        sa.Column('comment', Long, nullable=True),
        sa.Column('composition', sa.JSON(), nullable=True),
        sa.Column('created_at', When(), nullable=False),
        sa.PrimaryKeyConstraint('feedback_id', name=op.f('pk_feedback')))
    op.create_index(op.f('ix_feedback_brand_id'), 'feedback', ['brand_id'], unique=False)
    op.create_index(op.f('ix_feedback_tenant_id'), 'feedback', ['tenant_id'], unique=False)
    op.create_table('journal_events',
        sa.Column('writer', Id(40), nullable=False),
        sa.Column('seq', sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column('key', Id(), nullable=True),
        sa.Column('at', sa.BigInteger(), nullable=False),
        sa.Column('kind', Id(40), nullable=False),
        sa.Column('body', Long, nullable=False),
        sa.PrimaryKeyConstraint('writer', 'seq', name=op.f('pk_journal_events')),
        sa.UniqueConstraint('key', name=op.f('uq_journal_events_key')),
        sqlite_with_rowid=False)
    op.create_table('journal_writers',
        sa.Column('writer', Id(40), nullable=False),
        sa.Column('started_at', When(), nullable=False),
        sa.Column('closed_at', When(), nullable=True),
        sa.PrimaryKeyConstraint('writer', name=op.f('pk_journal_writers')))
    op.create_table('queue_items',
        sa.Column('item_id', Id(), nullable=False),
        sa.Column('tenant_id', Id(), nullable=True),
        sa.Column('status', sa.String(length=20), nullable=False),
        sa.Column('prompt', Long, nullable=False),
        sa.Column('output', Long, nullable=False),
        sa.Column('score', sa.Double(), nullable=False),
        sa.Column('method', sa.String(length=40), nullable=False),
        sa.Column('priority', sa.String(length=10), nullable=False),
        sa.Column('reason', sa.String(length=500), nullable=False),
        sa.Column('task_type', Id(), nullable=True),
        sa.Column('composition', sa.JSON(), nullable=True),
        sa.Column('created_at', When(), nullable=False),
        sa.Column('answered_at', When(), nullable=True),
        sa.PrimaryKeyConstraint('item_id', name=op.f('pk_queue_items')))
    op.create_index(op.f('ix_queue_items_status'), 'queue_items', ['status'], unique=False)
    op.create_index(op.f('ix_queue_items_tenant_id'), 'queue_items', ['tenant_id'], unique=False)
    op.create_table('reflection_logs',
        sa.Column('id', Serial, nullable=False),
        sa.Column('session_id', Id(), nullable=False),
        sa.Column('phase', sa.String(length=40), nullable=False),
        sa.Column('confidence', sa.Double(), nullable=True),
        sa.Column('rationale', Long, nullable=False),
        sa.Column('record', sa.JSON(), nullable=False),
        sa.Column('decision', sa.JSON(), nullable=True),
        sa.Column('created_at', When(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_reflection_logs')))
    op.create_index(op.f('ix_reflection_logs_session_id'), 'reflection_logs', ['session_id'], unique=False)
    op.create_table('retailers',
        sa.Column('retailer_id', Id(), nullable=False),
        sa.Column('name', Id(), nullable=False),
        sa.Column('api_endpoint', sa.String(length=2000), nullable=True),
        sa.Column('schema_mapping', sa.JSON(), nullable=False),
        sa.Column('settings', sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint('retailer_id', name=op.f('pk_retailers')))
    op.create_table('runs',
        sa.Column('run_id', Id(), nullable=False),
        sa.Column('pipeline', Id(), nullable=False),
        sa.Column('status', sa.String(length=20), nullable=False),
        sa.Column('parameters', sa.JSON(), nullable=False),
        sa.Column('results', sa.JSON(), nullable=False),
        sa.Column('folder', sa.String(length=2000), nullable=True),
        sa.Column('started_at', When(), nullable=False),
        sa.Column('ended_at', When(), nullable=True),
        sa.PrimaryKeyConstraint('run_id', name=op.f('pk_runs')))
    op.create_index(op.f('ix_runs_pipeline'), 'runs', ['pipeline'], unique=False)
    op.create_table('tenants',
        sa.Column('tenant_id', Id(), nullable=False),
        sa.Column('name', Id(), nullable=False),
        sa.Column('settings', sa.JSON(), nullable=False),
        sa.Column('created_at', When(), nullable=False),
        sa.PrimaryKeyConstraint('tenant_id', name=op.f('pk_tenants')))
    op.create_table('audience_segments',
        sa.Column('segment_id', Id(), nullable=False),
        sa.Column('retailer_id', Id(), nullable=True),
        sa.Column('name', Id(), nullable=False),
        sa.Column('definition', sa.JSON(), nullable=False),
        sa.Column('reach', sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(['retailer_id'], ['retailers.retailer_id'], name=op.f('fk_audience_segments_retailer_id')),
        sa.PrimaryKeyConstraint('segment_id', name=op.f('pk_audience_segments')))
    op.create_index(op.f('ix_audience_segments_retailer_id'), 'audience_segments', ['retailer_id'], unique=False)
    op.create_table('campaigns',
        sa.Column('campaign_id', Id(), nullable=False),
        sa.Column('brand_id', Id(), nullable=True),
        sa.Column('retailer_id', Id(), nullable=True),
        sa.Column('name', Id(), nullable=False),
        sa.Column('status', sa.String(length=20), nullable=False),
        sa.Column('budget', sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column('currency', sa.String(length=3), nullable=True),
        sa.Column('objectives', sa.JSON(), nullable=False),
        sa.Column('constraints', sa.JSON(), nullable=False),
        sa.Column('starts_on', sa.Date(), nullable=True),
        sa.Column('ends_on', sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(['brand_id'], ['brands.brand_id'], name=op.f('fk_campaigns_brand_id')),
        sa.ForeignKeyConstraint(['retailer_id'], ['retailers.retailer_id'], name=op.f('fk_campaigns_retailer_id')),
        sa.PrimaryKeyConstraint('campaign_id', name=op.f('pk_campaigns')))
    op.create_index(op.f('ix_campaigns_brand_id'), 'campaigns', ['brand_id'], unique=False)
    op.create_index(op.f('ix_campaigns_retailer_id'), 'campaigns', ['retailer_id'], unique=False)
    op.create_table('experiment_events',
        sa.Column('id', Serial, nullable=False),
        sa.Column('experiment_id', Id(), nullable=False),
        sa.Column('at', When(), nullable=False),
        sa.Column('action', sa.String(length=40), nullable=False),
        sa.Column('who', Id(), nullable=False),
        sa.Column('why', sa.String(length=2000), nullable=False),
        sa.Column('change', sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(['experiment_id'], ['experiments.experiment_id'], name=op.f('fk_experiment_events_experiment_id')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_experiment_events')))
    op.create_index(op.f('ix_experiment_events_experiment_id'), 'experiment_events', ['experiment_id'], unique=False)
    op.create_table('sku_catalog',
        sa.Column('sku_id', Serial, nullable=False),
        sa.Column('retailer_id', Id(), nullable=True),
        sa.Column('sku', Id(), nullable=False),
        sa.Column('brand_id', Id(), nullable=True),
        sa.Column('upc', sa.String(length=14), nullable=True),
        sa.Column('ean', sa.String(length=14), nullable=True),
        sa.Column('gtin', sa.String(length=14), nullable=True),
        sa.Column('name', sa.String(length=500), nullable=False),
        sa.Column('category', sa.String(length=500), nullable=True),
        sa.ForeignKeyConstraint(['brand_id'], ['brands.brand_id'], name=op.f('fk_sku_catalog_brand_id')),
        sa.ForeignKeyConstraint(['retailer_id'], ['retailers.retailer_id'], name=op.f('fk_sku_catalog_retailer_id')),
        sa.PrimaryKeyConstraint('sku_id', name=op.f('pk_sku_catalog')),
        sa.UniqueConstraint('retailer_id', 'sku', name=op.f('uq_sku_catalog_retailer_id_sku')))
    op.create_index(op.f('ix_sku_catalog_brand_id'), 'sku_catalog', ['brand_id'], unique=False)
    op.create_index(op.f('ix_sku_catalog_gtin'), 'sku_catalog', ['gtin'], unique=False)
    op.create_table('performance_metrics',
        sa.Column('id', Serial, nullable=False),
        sa.Column('campaign_id', Id(), nullable=False),
        sa.Column('day', sa.Date(), nullable=False),
        sa.Column('metric', sa.String(length=40), nullable=False),
        sa.Column('value', sa.Numeric(precision=18, scale=4), nullable=True),
        sa.Column('currency', sa.String(length=3), nullable=True),
        sa.Column('attribution', sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(['campaign_id'], ['campaigns.campaign_id'], name=op.f('fk_performance_metrics_campaign_id')),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_performance_metrics')))
    op.create_index(op.f('ix_performance_metrics_campaign_id_metric_day'), 'performance_metrics', ['campaign_id', 'metric', 'day'], unique=False)
