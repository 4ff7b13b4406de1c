"""What is said: envelopes, events, topics and their published documents."""
