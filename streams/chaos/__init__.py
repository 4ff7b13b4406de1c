"""The fault matrix: faults injected into real servers and roles at work, each audited by an outsider."""
