"""``python -m streams.cli`` is ``currere``."""

from streams.cli import main

if __name__ == "__main__":
    main()
