"""Programs for who runs the collection from a checkout."""
