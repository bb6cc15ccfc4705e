"""One file a step; see `cutis.app.archive.migrations`."""
