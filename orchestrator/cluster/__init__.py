"""Where jobs run: Ray clusters, reached over HTTP, and the local one that orch starts itself."""
