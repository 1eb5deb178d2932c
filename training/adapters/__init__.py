"""The only place that knows Feast, GX, DuckDB, SQLAlchemy and MLflow."""
