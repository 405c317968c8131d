"""What users and extensions test with: public conformance suites, strategies, simulators."""
