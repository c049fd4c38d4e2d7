"""One module a platform. Each imports `hub.sdk` and its vendor's SDK, nothing else of ours."""
