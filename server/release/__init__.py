"""Releases: files, manifest, report, verification."""
