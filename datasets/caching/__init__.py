"""Chunks of remote tars in a folder of bounded size: fetched ahead, shared by processes."""
