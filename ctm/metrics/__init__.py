"""What is measured of a model on a set of examples: docs/metrics.md."""
