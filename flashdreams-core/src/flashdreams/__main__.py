"""``python -m flashdreams`` is the ``flashdreams`` command."""

import sys

from flashdreams.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
