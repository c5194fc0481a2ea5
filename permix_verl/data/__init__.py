"""From problems to parquet to verl's datasets."""
