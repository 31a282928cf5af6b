"""Where jobs run: Ray clusters, asked over HTTP, and the local one that orch starts itself."""
