"""The coordinator's gRPC service, and what its clients need."""
