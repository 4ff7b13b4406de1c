"""What is remembered in the store: fenced commits and the outbox; opaque bytes, no algorithms."""
