"""What publishing a pile takes: its licences judged, its shards written, and the places they go to; `hub.publish` joins them."""
