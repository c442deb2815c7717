"""`python -m pacs_ai` is `pacs-ai`."""

from .cli import main

if __name__ == "__main__":
    main()
