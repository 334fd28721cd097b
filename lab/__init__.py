"""Throw-away Debian hosts, and a mirror of release archives, for the demo and for the tests."""
