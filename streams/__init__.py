"""How data flows: processors, roles, engines, watcher, client and command line."""
