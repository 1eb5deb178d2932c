"""One verb a file; each reads like its box in the DAG."""
