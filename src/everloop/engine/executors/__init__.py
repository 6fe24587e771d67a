"""Tasks -> answers, by way of other processes. Bytes in, bytes out; nothing here knows what a step is."""
