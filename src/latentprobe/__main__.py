"""``python -m latentprobe``."""

from latentprobe.cli.main import main

if __name__ == "__main__":
    main()
